"""The interactive tutorial: the page, a trained policy to put into it, and a server for this machine alone."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from qgf.critics.losses import Pessimistic
from qgf.environments.family import maze_of
from qgf.environments.maze import Maze
from qgf.errors import UserError
from qgf.files import write_text
from qgf.method.guidance import ESTIMATORS
from qgf.networks.blocks import MLP
from qgf.networks.velocity import VelocityField
from qgf.training.run import Run
from qgf.training.trained import Trained, load_trained
from qgf.training.weights import WEIGHTS

PAGE = Path(__file__).with_name("tutorial.html")
SLOT = re.compile(r'(<script type="application/json" id="policy">)[^<]*(</script>)')
STRENGTH = 1.0
"""Of which the page speaks."""
IDLE = 10.0
"""Seconds without a word after which the server lets a client go."""
CHECKS = 3
"""Places in the maze where the exported policy says what its answer is."""


def page(run: str | Path | None = None) -> str:
    """The tutorial as one HTML file, with the policy of `run` in it instead of the one it ships with."""
    if not PAGE.is_file():
        raise UserError(f"{PAGE.name} is not built: run `make tutorial` in the source tree (needs Node 20.19 or newer)")
    html = PAGE.read_text(encoding="utf-8")
    if run is None:
        return html
    policy = policy_json(run).replace("<", "\\u003c")
    html, slots = SLOT.subn(lambda slot: slot[1] + policy + slot[2], html)
    if slots != 1:
        raise UserError(f"{PAGE}: has {slots} places for a policy, expected 1; build it again with `make tutorial`")
    return html


def write_page(path: Path, run: str | Path | None = None) -> None:
    write_text(path, page(run))


def write_policy(path: Path, run: str | Path) -> None:
    """Write the policy of `run` in the page's format."""
    write_text(path, policy_json(run) + "\n")


def policy_json(run: str | Path) -> str:
    """A pointmaze run's flow, critics, scales and maze (see `content`), as the page's maze reads them."""
    trained = load_trained(Run(Path(run)).policy_dirs()[0])
    maze = maze_of(trained.dataset)
    if maze is None or trained.spec.obs_dim != 2 or trained.spec.action_dim != 2:
        raise UserError(f"{run}: the tutorial draws pointmaze policies, this one was trained on {trained.dataset}")
    rng = np.random.default_rng(0)
    parts = content(trained, places(maze, rng), rng, run)
    parts["maze"] = dict(
        walls=["".join(map(str, row)) for row in np.asarray(maze.walls, int)],
        unit=maze.unit,
        offset=_plain(maze.offset),
        goal=_plain(maze.goal),
        radius=maze.radius,
    )
    return json.dumps(parts, separators=(",", ":"))


def content(trained: Trained, obs: np.ndarray, rng: np.random.Generator, run: str | Path) -> dict[str, object]:
    """A policy's flow, critics and scales, its weights in half precision, and what they answer at `obs` [n, S].

    `checks` holds noise and, per guide, the end of the denoising path that this library computes from the rounded
    weights in double precision: whoever reads it can tell whether they compute the same. `run` names it in errors.
    """
    calibration = trained.calibration
    if calibration is None:
        raise UserError(f"{run}: its policy was never calibrated; train it again")
    trained = rounded(trained)
    flow, critics = _networks(trained, run)
    return dict(
        dataset=trained.dataset,
        updates=trained.updates,
        date=written(Run(Path(run)).policy_dirs()[0] / WEIGHTS),
        horizon=trained.spec.horizon,
        mean=_plain(trained.mean),
        std=_plain(trained.std),
        **(dict(limits=list(trained.limits)) if trained.limits is not None else {}),
        calibration=dict(sigma=calibration.sigma, grad_norm=calibration.grad_norm),
        flow=_encode(flow),
        critics=[_encode(critic) for critic in critics],
        checks=checks(trained, obs, rng),
    )


def written(path: Path) -> str:
    """The day, YYYY-MM-DD in UTC, on which a file was written here."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()


def rounded(trained: Trained) -> Trained:
    """The same policy with every weight rounded to half precision."""
    half = lambda x: jnp.asarray(np.asarray(x, np.float16), x.dtype)
    return eqx.tree_at(lambda t: t.nets, trained, jax.tree.map(half, trained.nets))


def _networks(trained: Trained, run: str | Path) -> tuple[MLP, tuple[MLP, ...]]:
    velocity, critic = trained.method.velocity(trained.nets), trained.method.guide_critic(trained.nets)
    drawn = isinstance(velocity, VelocityField) and isinstance(critic, Pessimistic)
    if not drawn or not all(isinstance(net, MLP) for net in (velocity.net, *critic.members.nets)):
        raise UserError(f"{run}: the tutorial cannot draw the networks of method {trained.method.name}")
    return velocity.net, critic.members.nets


def _encode(net: MLP) -> dict[str, object]:
    """Layer sizes, and every layer's weights [in, out] and biases as little-endian halves in base64."""
    sizes = [len(net.weights[0]), *(len(bias) for bias in net.biases)]
    arrays = [np.ravel(x).astype("<f2") for pair in zip(net.weights, net.biases, strict=True) for x in pair]
    return dict(sizes=sizes, data=base64.b64encode(np.concatenate(arrays).tobytes()).decode())


def places(maze: Maze, rng: np.random.Generator) -> np.ndarray:
    """`CHECKS` places [n, 2] in free cells."""
    cells = rng.choice(np.argwhere(np.asarray(maze.walls) == 0), CHECKS)[:, ::-1]
    return cells * maze.unit - maze.offset + rng.uniform(-1, 1, (CHECKS, 2))


def checks(trained: Trained, obs: np.ndarray, rng: np.random.Generator) -> list[dict[str, object]]:
    """Observation, noise and strength, and per guide the end of the path before the final clip, in double precision."""
    noise = rng.normal(size=(len(obs), trained.spec.d))
    with jax.enable_x64(True):
        policy = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), float), trained).policy()

        def ends(guide):
            path = lambda o, a0: policy.guided(guide, STRENGTH).trace(o, a0).a[-1]
            return np.asarray(jax.jit(jax.vmap(path))(jnp.asarray(obs), jnp.asarray(noise)))

        answers = {guide: ends(guide) for guide in ESTIMATORS}
    return [
        dict(
            obs=_plain(obs[k]),
            noise=_plain(noise[k]),
            strength=STRENGTH,
            ends={guide: _plain(answers[guide][k]) for guide in ESTIMATORS},
        )
        for k in range(len(obs))
    ]


def _plain(x) -> list[float]:
    return [float(value) for value in x]


def server(html: str, port: int = 0) -> ThreadingHTTPServer:
    """A server of this one page on 127.0.0.1, to be run with `serve_forever`; port 0 takes a free one."""
    content = html.encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE

        def do_GET(self):
            if self.path.split("?")[0] not in ("/", "/index.html"):
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"port {port} cannot be used ({error}); choose another with --port") from error


def serve(html: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `tell(url)` is called once it can be opened."""
    with server(html, port) as running:
        tell(f"http://127.0.0.1:{running.server_port}/")
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
