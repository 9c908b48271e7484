/** Trained policies as `qgf tutorial --export-policy` and cube.py write them. */

import type { Guide } from './guidance';
import { Maze, type MazeSpec } from './maze';
import { MLP, StatePolicy } from './network';
import type { Vec } from './vector';

interface Net {
  sizes: number[];
  /** Per layer its weights [in, out] and biases, as little-endian halves in base64. */
  data: string;
}

export interface NetFile {
  dataset: string;
  updates: number;
  /** The day on which the weights were written, YYYY-MM-DD; older files do not say. */
  date?: string;
  horizon: number;
  mean: number[];
  std: number[];
  /** Beyond which normalised observations are clipped. */
  limits?: number[];
  calibration: { sigma: number; grad_norm: number };
  flow: Net;
  critics: Net[];
  /** What Python answers, in double precision. */
  checks: { obs: number[]; noise: number[]; strength: number; ends: Record<Guide, number[]> }[];
}

/** That of a point in a maze. */
export interface PolicyFile extends NetFile {
  maze: MazeSpec;
}

/** Euler steps from noise to action (`flow.STEPS`), and the range of actions. */
export const STEPS = 10;
const RANGE = [-1, 1] as const;

/** The number that sixteen bits stand for. */
function half(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
  return bits & 0x8000 ? -size : size;
}

function decode({ sizes, data }: Net): MLP {
  const bytes = atob(data);
  let at = 0;
  const next = () => half(bytes.charCodeAt(at++) | (bytes.charCodeAt(at++) << 8));
  const layers = sizes.slice(1).map((outs, k) => {
    const ins = sizes[k]!;
    const rows = new Float64Array(ins * outs);
    for (let i = 0; i < ins; i++) for (let o = 0; o < outs; o++) rows[o * ins + i] = next();
    return { rows, bias: Float64Array.from({ length: outs }, next) };
  });
  return new MLP(layers);
}

export class Networks {
  readonly horizon: number;
  /** What it was trained on, for how many updates, and when. */
  readonly dataset: string;
  readonly updates: number;
  readonly date: string | undefined;
  /** The flow's weights as they were written: the policy's name, as it were. */
  readonly weights: string;
  /** Numbers in an action chunk. */
  readonly d: number;
  private readonly flow: MLP;
  private readonly critics: MLP[];

  constructor(
    private readonly file: NetFile,
    actionDim: number,
  ) {
    this.horizon = file.horizon;
    this.dataset = file.dataset;
    this.updates = file.updates;
    this.date = file.date;
    this.weights = file.flow.data;
    this.d = file.horizon * actionDim;
    this.flow = decode(file.flow);
    this.critics = file.critics.map(decode);
  }

  at(obs: Vec): StatePolicy {
    const { mean, std, limits } = this.file;
    const normal = obs.map((x, i) => {
      const scaled = (x - mean[i]!) / std[i]!;
      return limits ? Math.min(Math.max(scaled, -limits[i]!), limits[i]!) : scaled;
    });
    return new StatePolicy(this.flow, this.critics, normal, STEPS, ...RANGE);
  }

  /** w = strength sigma_a sqrt(d) / E|g| (`sampling.raw_weight`). */
  weight(strength: number): number {
    const { sigma, grad_norm } = this.file.calibration;
    return (strength * sigma * Math.sqrt(this.d)) / Math.max(grad_norm, 1e-12);
  }

  /** The largest difference between what these networks answer and what Python wrote into the file. */
  difference(): number {
    return Math.max(
      ...this.file.checks.flatMap(({ obs, noise, strength, ends }) =>
        (Object.keys(ends) as Guide[]).flatMap((guide) => {
          const { end } = this.at(obs).denoise(Float64Array.from(noise), guide, this.weight(strength));
          return ends[guide].map((x, i) => Math.abs(x - end[i]!));
        }),
      ),
    );
  }
}

export class Policy extends Networks {
  readonly maze: Maze;

  constructor(file: PolicyFile) {
    super(file, 2);
    this.maze = new Maze(file.maze);
  }
}
