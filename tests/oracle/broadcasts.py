"""What viewers take for one broadcast: naive code over (sequence, from, until) in seconds."""


def broadcast_groups(parts: list[tuple[str, int, int]], window_s: int) -> list[set[str]]:
    """Sessions that hang together, by pairs: one began while the other ran, or in the window after it."""
    groups = [{sequence} for sequence, _, _ in parts]

    def linked(one: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
        first, second = sorted((one, other), key=lambda part: (part[1], part[0]))
        return second[1] <= first[2] + window_s

    for number, one in enumerate(parts):
        for other in parts[:number]:
            if linked(one, other):
                touching = [group for group in groups if one[0] in group or other[0] in group]
                groups = [group for group in groups if group not in touching] + [set().union(*touching)]
    return groups


def on_air_s(parts: list[tuple[str, int, int]]) -> int:
    """Seconds in which any of them ran."""
    return len({second for _, from_s, until_s in parts for second in range(from_s, until_s)})


def comebacks(parts: list[tuple[str, int, int]]) -> int:
    """How often a part began when none of those before it ran any more."""
    ordered = sorted(parts, key=lambda part: (part[1], part[0]))
    return sum(
        all(earlier[2] <= part[1] for earlier in ordered[:number])
        for number, part in enumerate(ordered)
        if number
    )
