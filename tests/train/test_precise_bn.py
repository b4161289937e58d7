"""Precise BatchNorm: the statistics of all batches together, and nothing else changed."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scratchdet.models.zoo import create_model
from scratchdet.train.precise_bn import Moments, measure_statistics

STATISTICS = ("running_mean", "running_var")


def made(name="scratchdet_nano", size=64, **norms):
    """A detector, and its statistics, that are not those of any images."""
    torch.manual_seed(0)
    detector = create_model(name, 2, input_size=size, **norms)
    for key, value in detector.state_dict().items():
        if key.endswith(STATISTICS):
            value.uniform_(1, 2)
    return detector


def images(count, *, seed=0, size=64):
    rng = np.random.default_rng(seed)
    smooth = rng.normal(128, 50, (count, 1, 1, 3)) + rng.normal(0, 30, (count, size, size, 3))
    return torch.from_numpy(smooth.clip(0, 255).astype(np.uint8))


def measured(detector, batches):
    measure_statistics(detector, iter(batches), precision="fp32")
    state = detector.state_dict()
    return {key: value.clone() for key, value in state.items() if key.endswith(STATISTICS)}


def first_norm(detector):
    return detector.backbone.root[0][1]


@pytest.mark.parametrize("norm", ["batch", "sync_batch"])
def test_the_statistics_are_those_numpy_computes_over_all_images(norm):
    detector = made(norm_backbone=norm)
    batches = images(12).split(4)
    measured(detector, batches)
    with torch.no_grad():
        fed = torch.cat([detector.backbone.root[0][0](detector.normalise(b)) for b in batches])
    values = fed.double().numpy().transpose(1, 0, 2, 3).reshape(fed.shape[1], -1)
    norm = first_norm(detector)
    np.testing.assert_allclose(norm.running_mean, values.mean(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, values.var(1, ddof=1), rtol=1e-4)


def test_of_one_batch_all_statistics_are_what_batch_norm_itself_would_store():
    detector, batch = made(), images(6)
    ours = measured(detector, [batch])
    for layer in detector.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    detector.train()(detector.normalise(batch))
    state = detector.state_dict()
    for key, value in ours.items():
        torch.testing.assert_close(value, state[key], rtol=1e-4, atol=1e-6)


def test_the_order_of_batches_and_how_often_it_is_done_do_not_matter():
    detector, batches = made(), images(12).split(4)
    once = measured(detector, batches)
    for order in (batches, batches[::-1]):
        for key, value in measured(detector, order).items():
            torch.testing.assert_close(value, once[key], rtol=1e-5, atol=1e-6)


def test_the_first_norm_is_the_same_however_the_images_are_split():
    detector = made()
    for size in (12, 6, 2):
        statistics = measured(detector, images(12).split(size))
        mean, var = (statistics[f"backbone.root.0.1.{what}"] for what in STATISTICS)
        if size == 12:
            expected = mean, var
        torch.testing.assert_close((mean, var), expected, rtol=1e-5, atol=1e-6)


def test_large_means_of_many_batches_do_not_cancel():
    torch.manual_seed(0)
    moments, batches = (
        Moments(2, torch.device("cpu")),
        [torch.randn(3, 2, 4, 4) + 3000 for _ in "abcd"],
    )
    for batch in batches:
        moments.add(batch)
    mean, variance = moments.pooled()
    values = torch.cat(batches).double()
    torch.testing.assert_close(mean, values.mean((0, 2, 3)), rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, values.var((0, 2, 3)), rtol=1e-3, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_but_the_statistics_changes(training):
    detector = made().train(training)
    detector.neck.eval()
    modes = [module.training for module in detector.modules()]
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    statistics = measured(detector, [images(3)])
    for key, value in detector.state_dict().items():
        assert torch.equal(value, before[key]) == (key not in statistics), key
    assert [module.training for module in detector.modules()] == modes
    assert not any(module._forward_pre_hooks for module in detector.modules())
    assert all(parameter.grad is None for parameter in detector.parameters())
    norm = first_norm(detector).train()
    norm(torch.randn(2, norm.num_features, 3, 3))
    assert norm.num_batches_tracked == before["backbone.root.0.1.num_batches_tracked"] + 1


def test_an_error_leaves_all_as_it_was():
    detector = made().train()
    before = {key: value.clone() for key, value in detector.state_dict().items()}

    def broken():
        yield images(2)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk"):
        measured(detector, broken())
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())
    assert all(module.training for module in detector.modules())
    assert first_norm(detector).track_running_stats
    assert not any(module._forward_pre_hooks for module in detector.modules())


def test_without_a_batch_norm_no_batch_is_asked_for():
    def none_expected():
        raise AssertionError("a batch was asked for")
        yield

    assert measured(made(norm_backbone="group_ws", norm_head="none"), none_expected()) == {}


def test_without_any_batch_there_is_nothing_to_measure():
    with pytest.raises(ValueError, match="there is no batch"):
        measured(made(), [])


@pytest.mark.parametrize("backbone", ["efficientnet_b0", "resnet10t"])
def test_norms_of_timm_are_measured_too(backbone):
    pytest.importorskip("timm")
    torch.manual_seed(0)
    detector = create_model("ssd300_timm", 1, input_size=64, backbone=backbone)
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    for key, value in measured(detector, [images(2)]).items():
        assert torch.isfinite(value).all(), key
        assert not torch.equal(value, before[key]), key


def measure_on_rank(rank, size, store, path):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size
    )
    statistics = measured(made(), images(12).split(3)[rank::size])
    torch.distributed.destroy_process_group()
    save_file(statistics, f"{path}/{rank}.safetensors")


def test_two_ranks_with_half_of_the_batches_each_measure_what_one_measures(tmp_path):
    torch.multiprocessing.spawn(
        measure_on_rank, (2, str(tmp_path / "store"), str(tmp_path)), nprocs=2
    )
    alone = measured(made(), images(12).split(3))
    for rank in range(2):
        theirs = load_file(tmp_path / f"{rank}.safetensors")
        torch.testing.assert_close(theirs, alone, rtol=1e-5, atol=1e-6)


def test_what_is_random_in_training_is_not_while_measuring():
    detector = made()
    detector.backbone = nn.Sequential(nn.Dropout(0.5), detector.backbone).train()
    once, again = (measured(detector, [images(3)]) for _ in range(2))
    assert all(torch.equal(once[key], again[key]) for key in once)


def test_bf16_measures_nearly_the_same():
    detector, batches = made(), images(8).split(4)
    exact = measured(detector, batches)["backbone.root.0.1.running_var"]
    measure_statistics(detector, batches, precision="bf16")
    torch.testing.assert_close(first_norm(detector).running_var, exact, rtol=0.02, atol=0)
