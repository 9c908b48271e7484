"""Guidance in PyTorch: anybody's flow and critic, or policies that qgf trained, without JAX (`pip install qgf[torch]`).

```python
pi = qgf.torch.load_policy("runs/maze").guided("qgf", strength=1.0)
actions = pi(obs)  # [B, S] -> [B, H, A]

pi = qgf.torch.guided_flow(velocity, critic, action_dim=7, guide="qgf", weight=0.05)
#    velocity(obs[B, S], a[B, d], t[]) -> [B, d]      critic(obs[B, S], a[B, d]) -> [B]
g = qgf.torch.ESTIMATORS["qgf"](v, q, a, t)  # v(a, t) -> [B, d], q(a) -> [B]
```
"""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("qgf.torch needs PyTorch: pip install 'qgf[torch]'") from None

from qgf.torch.choosing import FALLBACKS
from qgf.torch.guidance import ESTIMATORS
from qgf.torch.guides import GUIDES, WRAPPERS
from qgf.torch.policy import Policy, best_of, calibrate, guided_flow, refine
from qgf.torch.reading import Critic, load_critic, load_policy
from qgf.torch.sampling import sample
from qgf.torch.schedules import SCHEDULES

__all__ = [
    "ESTIMATORS", "FALLBACKS", "GUIDES", "SCHEDULES", "WRAPPERS", "Critic", "Policy", "best_of", "calibrate",
    "guided_flow", "load_critic", "load_policy", "refine", "sample",
]  # fmt: skip
