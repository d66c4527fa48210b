"""What Tencent sends of a true history: the bodies of its notifications, less t and sign."""

from typing import Any

from tests.oracle.true_history import BEGIN_S, FORGED, STREAM, History, TrueItem


def bodies(history: History) -> list[dict[str, Any]]:
    """Every distinct notification of a history, less t and sign."""
    found: list[dict[str, Any]] = []
    for push in history.pushes:
        shared = {"stream_id": STREAM, "sequence": push.sequence, "stream_param": push.param}
        for number, at_s in enumerate(push.reported_starts):
            start = {"event_type": 1, "event_time": BEGIN_S + at_s, "node": f"192.0.2.{number}"}
            found.append({**start, **shared, "app": push.app, "appname": "live", "errcode": 0})
        for number, sent in enumerate(push.impossible):
            time = {"event_time": "soon" if sent is None else sent, "node": f"198.51.100.{number}"}
            found.append({"event_type": 1, **time, **shared, "app": push.app, "appname": "live"})
        for at_s in push.reported_stops:
            stop = {"event_type": 0, "event_time": BEGIN_S + at_s, "errcode": push.errcode}
            if push.duration_s is not None:
                stop["push_duration"] = str(push.duration_s * 1000)
            stop_app = push.app.upper() if push.app else None
            found.append({**stop, **shared, "app": stop_app, "appname": "live"})
        for lasted_s in push.untimed_stops:
            stop = {"event_type": 0, "event_time": "soon", "errcode": push.errcode}
            if lasted_s is not None:
                stop["push_duration"] = str(lasted_s * 1000)
            found.append({**stop, **shared, "app": push.app, "appname": "live"})
        for at_s in push.forged_stops:
            stop = {"event_type": 0, "event_time": BEGIN_S + at_s, "errcode": 2, "node": FORGED}
            found.append({**stop, **shared, "app": push.app, "appname": "live"})
        for number in range(push.others):
            found.append({"event_type": 999, "number": number, **shared})
        for at_s in push.errors_s:
            error = {"event_type": 321, "data_time": (BEGIN_S + at_s) * 1000, "report_interval": 5000}
            abnormal = [{"type": 6, "count": 2}, {"type": 7, "count": 1}]
            found.append({**error, **shared, "domain": push.app, "path": "live", "abnormal_event": abnormal})
    found += [_body(item) for item in history.items]
    found += [{**_body(item), "file_size": 2000} for item in history.items if item.key in history.altered]
    found += [{"event_type": 314, "stream_id": STREAM, "task_id": str(n)} for n in range(history.relays)]
    return [{name: value for name, value in body.items() if value is not None} for body in found]


def _body(item: TrueItem) -> dict[str, Any]:
    return {name: value for name, value in _fields(item).items() if value is not None}


def _fields(item: TrueItem) -> dict[str, Any]:
    body: dict[str, Any] = {"stream_id": STREAM, "stream_param": item.param, "app": item.app}
    if item.kind == "screenshot":
        return {
            "event_type": 200,
            "pic_url": item.name or item.key,
            "create_time": BEGIN_S + item.at_s,
            **body,
        }
    body["task_id"] = item.task
    if item.kind == "recording":
        times = {"start_time": BEGIN_S + item.began_s, "end_time": BEGIN_S + item.until_s}
        seconds: Any = item.until_s - item.at_s
        lasting = {
            "given": seconds,
            "float": float(seconds),
            "zero": 0,
            "absent": None,
            "longer": seconds + 500,
        }[item.lasting]
        return {
            "event_type": 100,
            "file_id": item.key,
            **times,
            "duration": lasting,
            "file_size": 1000,
            **body,
        }
    del body["app"]
    status = {"event_type": 332, "record_event": item.note, "event_time": BEGIN_S + item.at_s}
    return {**status, "seq": item.key, "domain": item.app, **body}
