"""LeRobot's flow policies, steered by a critic: SmolVLA, pi0, pi0.5, multi-task DiT, and openpi's PyTorch pi0.

```python
policy = qgf.lerobot.guide(policy, critic, weight=0.5)  # the same object: lerobot-eval, rollouts, notebooks go on
policy = qgf.lerobot.unguide(policy)
```
"""

from qgf.lerobot.guiding import Guidance, calibrate, guide, unguide

__all__ = ["Guidance", "calibrate", "guide", "unguide"]
