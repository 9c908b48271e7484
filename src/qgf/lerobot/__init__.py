"""LeRobot's flow policies, steered by a critic: SmolVLA, pi0, pi0.5, multi-task DiT, and openpi's PyTorch pi0.

```python
policy = qgf.lerobot.guide(policy, "runs/critic", strength=1.0)  # the same object: lerobot-eval, rollouts go on
qgf.lerobot.calibrate(policy, batches)  # once: what a strength of 1 is, kept beside the policy
policy.guidance_log.save("guidance.csv")
policy = qgf.lerobot.unguide(policy)
```
"""

try:
    import torch as _torch  # noqa: F401
except ImportError:
    raise ImportError("qgf.lerobot needs PyTorch: pip install 'qgf[lerobot]'") from None

from qgf.lerobot.calibrating import calibrate
from qgf.lerobot.guiding import Guidance, guide, unguide
from qgf.lerobot.log import Log

__all__ = ["Guidance", "Log", "calibrate", "guide", "unguide"]
