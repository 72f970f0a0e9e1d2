"""Does an adapter do what `ModelAdapter` asks? A suite that any adapter can be run through, with any test runner.

    def test_my_adapter():
        assert_adapter(MyAdapter(model), batch, prompts=prompts)

Guarantees
- `batch` and `prompts` are the caller's; the model may be tiny and random. Nothing is fetched.
- What is wrong is said part by part; an exception in one part does not hide the others.
- Labels, shift and heads are checked against the model's own loss: a row of logits has a gradient exactly where the
  view says that it is trained, and the gradient is negative at the label.
- Weights and random state are left as they were; gradients are cleared.
"""

from tracker_logging.testing.conformance import Problem, assert_adapter, check_adapter

__all__ = ["Problem", "assert_adapter", "check_adapter"]
