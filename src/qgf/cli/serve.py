"""`qgf serve`: Answer observations with a run's guided actions, over openpi's websocket protocol."""

import os
from pathlib import Path
from typing import Optional

import tyro

from qgf.cli.acting import Acting
from qgf.cli.printing import console
from qgf.errors import UserError

KEY = "QGF_API_KEY"


def serve(
    run: tyro.conf.Positional[Path],
    /,
    port: int = 8000,
    host: str = "127.0.0.1",
    acting: tyro.conf.OmitArgPrefixes[Acting] = Acting(),
    fallback: str = "unguided",
    policy_seed: int = 0,
    deadline: Optional[float] = None,
    warm_start: Optional[float] = None,
    batch: int = 8,
    clients: int = 32,
    rate: float = 200.0,
    max_bytes: int = 4 * 2**20,
    reload: bool = True,
    seed: int = 0,
):
    """Serve a run's policy to this machine, or with --host to others, until Ctrl-C or SIGTERM. Clients are openpi's, or
    qgf.deployment.client. With the environment variable QGF_API_KEY clients must know that key.

    Args:
        run: The run's directory.
        port: The port to listen on; 0 takes a free one.
        host: The address to listen on; 0.0.0.0 lets other machines in, unencrypted.
        acting: How the policy acts.
        fallback: When the unguided action from the same noise is taken instead: unguided, where the guided one is not
            finite; capped, also where guidance moved it too far; judged, also where members that do not guide see no
            gain (give --members 0). `qgf names fallback` lists them.
        policy_seed: Which policy to serve, if the run has several seeds.
        deadline: Milliseconds after which a request gets the unguided action if the guided one is not ready.
        warm_start: The denoising time, between 0 and 1, from which a request's `last_actions` are denoised on.
        batch: Requests of several clients that are answered together.
        clients: How many may be connected.
        rate: How many requests a second each may send.
        max_bytes: The largest request.
        reload: Take another policy of the run, as of `qgf train` or `qgf export`, whenever there is one.
        seed: Seed of the noise.
    """
    from qgf.deployment.options import Options
    from qgf.deployment.served import Served, served
    from qgf.deployment.server import Server
    from qgf.deployment.server import run as serve_until_told
    from qgf.deployment.watched import Watched
    from qgf.training.run import Run

    there = Run(run)
    options = Options(deadline, warm_start, batch, clients, rate, max_bytes, os.environ.get(KEY) or None, seed)

    def load() -> Served:
        trained = there.trained(policy_seed)
        policy = acting.of(trained.policy(), fallback)
        made = served(policy, options)
        made.about.update(updates=trained.updates, dataset=trained.dataset)
        return made

    if not (run / "config.json").exists():
        raise UserError(f"{run}: not a run directory (no config.json); a saved policy is served from Python, qgf.serve")
    if host not in ("127.0.0.1", "localhost", "::1") and options.api_key is None:
        console.print(f"qgf: anyone who reaches {host}:{port} can ask this policy; ${KEY} sets a key")
    first = load()
    watched = Watched(there.policy_dirs()[policy_seed], load) if reload else None
    serve_until_told(Server(first, options, watched, console.print), port, host)
