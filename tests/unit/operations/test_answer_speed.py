"""How quickly callbacks were answered lately: of the last hour alone, whoever of the workers answered."""

from streamledger.operations.answer_speed import LATELY_S, AnswerSpeed, Speed
from streamledger.operations.timings import Timings


def test_it_tells_of_the_last_hour_and_of_all_workers() -> None:
    timings = Timings(2)
    first, second = timings.row(0), timings.row(1)
    first.answered(200, 7.0)  # before anybody looked
    speed = AnswerSpeed(timings)
    assert speed.look(0.0) is None
    for _ in range(98):
        first.answered(200, 0.0015)
    second.answered(403, 0.004)
    second.answered(503, 30.0)
    assert speed.look(1.0) == Speed(100, 2.0, 5.0)
    second.answered(503, 30.0)
    assert speed.look(2.0) == Speed(101, 2.0, None)
    for now_s in range(60, LATELY_S + 60, 60):
        assert speed.look(float(now_s)) == Speed(101, 2.0, None)
    first.answered(200, 0.0001)
    assert speed.look(LATELY_S + 62.0) == Speed(1, 0.5, 0.5)
    assert speed.look(2 * LATELY_S + 200.0) is None
