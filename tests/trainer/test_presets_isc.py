"""ISC's presets: the published numbers, and where the released code departs from the paper."""

from __future__ import annotations

from typing import Any

import pytest

from trainer import config
from trainer.encoders import ENCODERS


def values(name: str) -> dict[str, Any]:
    return dict(config.leaves(config.find_preset("isc", name).tree))


def changed(before: str, after: str) -> dict[str, Any]:
    """But for the sections of evaluation, which test_evaluate_crop looks at."""
    old, new = values(before), values(after)
    paths = {path for path in {*old, *new} if not path.startswith("evaluate.")}
    return {path: new.get(path) for path in paths if old.get(path) != new.get(path)}


def test_published_numbers() -> None:
    expected = {
        "data.frames": 64,
        "augment.normal.0.name": "temporal_crop_resize",
        "augment.normal.0.options.ratio": [0.1, 1.0],
        "augment.normal.1.options.of.0.name": "pose_augmentation",
        "augment.normal.1.options.of.0.options.amplitude": 1.0,
        "augment.normal.1.options.of.1.name": "joint_jitter",
        "augment.normal.1.options.of.1.options.share": 15 / 25,
        "augment.normal.1.options.of.1.options.zero_p": 0.0,
        "encoder.name": "bigru",
        "encoder.options.units": 1024,
        "encoder.options.layers": 3,
        "encoder.options.max_bodies": 2,
        "encoder.options.unidirectional_inference": False,
        "method.options.temperature": 0.07,
        "method.options.queue": 16384,
        "method.options.dim": 128,
        "method.options.mode": "inter",
        "method.options.representations.seq": None,
        "method.options.representations.graph.name": "agcn",
        "optimise.epochs": 450,
        "optimise.lr": 0.01,
        "optimise.weight_decay": 1e-4,
        "optimise.milestones": [350],
        "optimise.gamma": 0.1,
    }
    found = values("paper")
    assert {path: found[path] for path in expected} == expected


def test_pku_has_more_epochs_and_shorter_queues() -> None:
    assert changed("paper", "pku-1") == {"method.options.queue": 8192, "optimise.epochs": 600}
    assert changed("paper", "pku-2") == {"method.options.queue": 2048, "optimise.epochs": 600}


def test_released_differs_where_the_released_code_does() -> None:
    assert changed("paper", "released") == {
        "data.frames": 128,
        "augment.normal.0.options.min_frames": 64,
        "augment.normal.0.options.frames": 64,
        "augment.normal.0.options.rounding": "down",
        "augment.normal.0.options.sampling": "centres",
        "augment.normal.0.options.absent": "zeros",
        "augment.normal.1.options.of.1.options.zero_p": 0.5,
        "encoder.options.unidirectional_inference": True,
        "encoder.options.init": "xavier",
        "method.options.projector_end": "released",
        "method.options.representations.graph.options.init": "released",
        "method.options.representations.graph.options.input_norm": "slot",
        "optimise.epochs": 451,
        "optimise.batch_size": 64,
        "optimise.milestones": [351],
    }


def test_released_for_ntu_120_has_the_epochs_of_its_script() -> None:
    assert changed("released", "released-ntu-120") == {
        "optimise.epochs": 351,
        "optimise.milestones": [251, 351],
    }


def test_released_pairs_with_the_image_have_the_released_hcn() -> None:
    hcn = {
        "point": 64,
        "row": 64,
        "channels": [32, 64, 128, 256],
        "segments": 4,
        "dropout": 0.5,
        "fourth_relu": False,
        "init": "xavier",
        "bodies": "maximum",
    }
    encoders = {}
    for name in ("released-seq-img", "released-graph-img"):
        tree = config.find_preset("isc", name).tree
        representations = tree["method"]["options"]["representations"]
        encoders[name] = tree["encoder"]
        assert representations == {name.split("-")[1]: None, "img": {"name": "hcn", "options": hcn}}
    released = config.find_preset("isc", "released").tree
    graph = released["method"]["options"]["representations"]["graph"]
    assert encoders == {"released-seq-img": released["encoder"], "released-graph-img": graph}
    for name in encoders:
        differing = {path.split(".")[0] for path in changed("released", name)}
        assert differing <= {"encoder", "method"}, "all else is as with series and graph"


def test_no_number_is_said_to_stand_in_a_supplement_that_has_none() -> None:
    """The paper's appendix, A.1, is on downstream tasks: the schedule of the pre-training is the script's."""
    for name in config.preset_names("isc"):
        sources = config.find_preset("isc", name).sources
        assert not [path for path, said in sources.items() if "supplement" in said]
    assert "script_pretrain.sh" in config.find_preset("isc", "paper").sources["optimise.milestones"]


@pytest.mark.parametrize("name", config.preset_names("isc"))
def test_no_option_of_a_representation_is_left_to_the_code(name: str) -> None:
    tree = config.find_preset("isc", name).tree
    representations = tree["method"]["options"]["representations"]
    assert next(iter(representations.values())) is None
    for component in list(representations.values())[1:]:
        fields = ENCODERS[component["name"]].Options.model_fields
        assert component["options"].keys() == fields.keys()
