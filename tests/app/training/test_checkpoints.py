"""A resumed training stops when the uninterrupted one would have."""

from __future__ import annotations

import pytest
from ignite.engine import Engine, Events

from hybridseg.app.training.checkpoints import Checkpoints, EarlyStop


@pytest.mark.filterwarnings("ignore:.*_delta' is deprecated:DeprecationWarning")  # what MONAI hands to ignite
def test_a_resumed_run_has_the_patience_that_was_left(tmp_path):
    for resume, epochs, last in ((False, 3, 3), (True, 20, 5)):
        trainer = Engine(lambda engine, batch: None)
        early_stop = EarlyStop(patience=4, score_function=lambda engine: 0.5, trainer=trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, early_stop)
        Checkpoints(tmp_path, {"early_stop": early_stop}, resume).attach(trainer)
        trainer.run([0], max_epochs=epochs)
        assert trainer.state.epoch == last
