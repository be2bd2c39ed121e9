from __future__ import annotations

import torch

from deft.tools.visual_changenet.comparison import build_comparison, compare

OPTIONS = {"embedding_vectors": 5, "learnable_difference_modules": 2, "embed_dec": 6}


def test_equal_summaries_are_at_no_distance_and_different_ones_at_some() -> None:
    torch.manual_seed(0)
    comparison = build_comparison("euclidean", 16, OPTIONS).eval()
    summary = torch.rand(4, 16)
    same = compare("euclidean", comparison, [], torch.cat([summary, summary]))
    other = compare("euclidean", comparison, [], torch.cat([summary, summary.flip(0)]))
    assert same.max() < 1e-5
    assert other.min() > 1e-4
    assert other.shape == (4,)


def test_a_distance_has_a_gradient_even_at_zero() -> None:
    comparison = build_comparison("euclidean", 16, OPTIONS).eval()
    summary = torch.rand(2, 16, requires_grad=True)
    compare("euclidean", comparison, [], torch.cat([summary, summary])).sum().backward()
    assert torch.isfinite(summary.grad).all()


def test_the_learnable_comparison_gives_one_logit_a_pair_for_any_map_size() -> None:
    comparison = build_comparison("learnable", 16, OPTIONS).eval()
    for rows, columns in ((3, 3), (4, 2)):
        maps = [torch.rand(8, 16, rows, columns) for _ in range(2)]
        assert compare("learnable", comparison, maps, torch.rand(8, 16)).shape == (4,)


def test_the_learnable_comparison_sees_one_place_that_changed() -> None:
    torch.manual_seed(0)
    comparison = build_comparison("learnable", 16, OPTIONS).eval()
    golden = torch.rand(2, 16, 4, 4)
    test = golden.clone()
    test[1, :, 2, 2] += 5
    maps = [torch.cat([golden, test])] * 2
    unchanged = [torch.cat([golden, golden])] * 2
    difference = compare("learnable", comparison, maps, golden) - compare(
        "learnable", comparison, unchanged, golden
    )
    assert difference[0].abs() < 1e-5
    assert difference[1].abs() > 1e-4
