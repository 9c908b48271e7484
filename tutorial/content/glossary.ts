/** Every term of the text in a sentence. `names` are the ways in which it is written; the first heads its entry. */

export interface Term {
  id: string;
  en: { names: string[]; text: string };
  zh: { names: string[]; text: string };
}

const term = (id: string, en: [string | string[], string], zh: [string | string[], string]): Term => ({
  id,
  en: { names: [en[0]].flat(), text: en[1] },
  zh: { names: [zh[0]].flat(), text: zh[1] },
});

export const GLOSSARY: readonly Term[] = [
  term('policy', ['policy', 'A rule that answers a state with an action, usually at random: a distribution over actions.'], ['策略', '看到状态后如何决定动作的规则；通常带随机性，即动作上的一个分布。']),
  term('return', ['return', 'All rewards still to come, later ones shrunk by the discount γ.'], ['回报', '今后所有奖励之和，越晚的按折扣因子 γ 打折越狠。']),
  term('critic', ['critic', 'A network Q(s, a) that says what return to expect after action a in state s.'], ['评论家', '网络 Q(s, a)，回答在状态 s 做动作 a 之后能指望多少回报。']),
  term('bc', [['Behaviour cloning', 'behaviour cloning'], 'Learning by imitation: to make recorded actions likely in the states where they were taken.'], ['行为克隆', '靠模仿来学：让记录里的动作在当时的状态下更可能出现。']),
  term('td', [['TD', 'Temporal-difference learning'], 'Temporal-difference learning: the value of now must equal the reward plus the discounted value of next.'], ['时序差分', '此刻的价值应等于拿到的奖励加上打过折的下一刻的价值（TD）。']),
  term('iql', ['IQL', 'Implicit Q-learning: a critic trained on recorded actions alone, with an expectile in place of a maximum over actions.'], ['IQL', '隐式 Q 学习：只用记录里的动作训练评论家，以期望分位数代替对动作取最大值。']),
  term('expectile', ['expectile', 'Like a mean, but what lies above counts more: a high expectile is close to the best that was recorded.'], ['期望分位数', '像均值，只是对偏高的一侧给更大权重；取得高，就近似记录里最好的。']),
  term('flow-model', [['flow model', 'flow matching'], 'A network that learns a velocity, so that noise which follows it becomes data; trained by flow matching, that is, by regression on straight lines from noise to data.'], [['流模型', '流匹配'], '学一个速度场，噪声顺着它走就变成数据；用流匹配训练，即对从噪声到数据的直线做回归。']),
  term('chunk', ['action chunk', 'Several consecutive actions that are chosen at once.'], ['动作块', '一次选定的若干个连续动作。']),
  term('euler', [['Euler steps', 'Euler step'], 'The simplest way to follow a velocity: small straight steps, each with the velocity where it begins.'], ['欧拉步', '顺着速度场走的最简单办法：一小步一小步直走，每步用起点处的速度。']),
  term('continuity', ['continuity argument', 'Probability is neither made nor lost on the way: what flows into a place must have left another.'], ['连续性方程', '概率在途中不增不减：流进一处的，必从别处流出。']),
  term('kl', [['Kullback–Leibler divergence', 'KL'], 'How hard it is to mistake samples of one distribution for those of another: the mean of the log ratio of their densities; 0 only if they are the same.'], [['KL 散度', 'KL'], '两个分布相差多少：密度之比取对数再求平均，只有两者相同时才为 0。']),
  term('score', ['score', 'The gradient of the log density: the direction in which data become more likely.'], ['得分函数', '对数密度的梯度：往哪边走，数据更可能出现。']),
  term('tweedie', ['Tweedie’s formula', 'Given a noisy point, the expected noise is the score times its variance, with a minus sign.'], ['Tweedie 公式', '给定带噪的点，噪声的期望等于得分函数乘以噪声方差，再取负号。']),
  term('classifier-guidance', ['classifier guidance', 'Steering an image generator by the gradient of a classifier that looks at the half-made picture.'], ['分类器引导', '生成图像时，用分类器对半成品的梯度来引导。']),
  term('ood', ['OOD', 'Out of distribution: an input unlike those of training. Also the guidance that asks the critic at such an input, aₜ.'], ['OOD', '分布外：与训练所见不同的输入；也指在这种输入 aₜ 上问评论家的引导方式。']),
  term('qfql', ['QFQL', 'A published test-time method whose gradient is taken at the noisy action: the OOD gradient.'], ['QFQL', '一种已发表的测试时方法，梯度取在带噪动作处，即 OOD 梯度。']),
  term('bptt', ['BPTT', 'Backpropagation through time: the derivative of a whole roll-out, step by step backwards.'], ['BPTT', '沿时间反向传播：把整段推演逐步倒着求导。']),
  term('qgf', ['QGF', 'Q-Guided Flow: the critic is asked at the one-step estimate, and its gradient is added as it is.'], ['QGF', 'Q 引导流：在一步估计处问评论家，梯度原样加上去。']),
  term('qgf-jacobian', ['QGF-Jacobian', 'QGF that keeps the Jacobian J of the one-step estimate.'], ['QGF-Jacobian', '保留一步估计的雅可比 J 的 QGF。']),
  term('qgf-chain', ['QGF-chain', 'The critic is asked at the end of the full roll-out, and the Jacobian of the chain is dropped.'], ['QGF-chain', '在完整推演的终点问评论家，去掉整条链的雅可比。']),
  term('jacobian', ['Jacobian', 'The table of all partial derivatives: how every output moves with every input.'], ['雅可比', '所有偏导数排成的表：每个输入动一动，每个输出怎样动。']),
  term('singular', ['singular values', 'The largest and smallest magnification of a matrix: the half-axes of the ellipse that it makes of the unit circle.'], ['奇异值', '矩阵放大倍数的最大值与最小值：它把单位圆变成的椭圆的半轴。']),
  term('condition', [['ill-conditioned', 'condition number'], 'Largest over smallest magnification; a matrix for which that is large is ill-conditioned and bends nearly every direction towards one axis.'], [['病态', '条件数'], '最大与最小放大倍数之比叫条件数；它很大，矩阵就是病态的，几乎所有方向都被掰向同一根轴。']),
  term('watershed', ['watersheds', 'Starting points that separate those which end at one peak from those which end at the next.'], ['分水岭', '把流向这个峰与流向下一个峰的起点隔开的点。']),
  term('jitter', ['jitter', 'The largest change of a gradient when its input moves by a given small amount.'], ['抖动', '输入在给定的小范围内变动时，梯度的最大变化量。']),
  term('cdf', ['cumulative distribution', 'The probability to the left of a point.'], ['累积分布函数', '落在某点左侧的概率。']),
  term('expfam', ['exponential family', 'Distributions whose log density is linear in a parameter; the derivative of their mean in it is their variance.'], ['指数族', '对数密度对参数线性的一类分布；均值对参数的导数等于方差。']),
  term('cov', ['covariance', 'How the components of a random vector vary together; its diagonal holds their variances.'], ['协方差', '随机向量各分量怎样一起变动；对角线上是各自的方差。']),
  term('ogbench', ['OGBench', 'A public collection of simulated tasks with recorded data: mazes, robot arms with cubes, scenes and puzzles.'], ['OGBench', '一套公开的仿真任务，附带操作记录：迷宫、搬积木的机械臂、场景和拼图。']),
  term('interval', [['95 % intervals', 'intervals'], 'A range that would hold the true mean in 95 of 100 repetitions of the experiment.'], ['95% 区间', '实验重复一百次，约有 95 次会包含真实均值的范围。']),
  term('edp', ['EDP', 'A train-time method: the policy is cloned and pleases the critic through its one-step estimate.'], ['EDP', '训练时方法：策略一边克隆，一边借一步估计去讨好评论家。']),
  term('robustq', ['RobustQ', 'A test-time method with a critic of its own, trained on noisy actions, asked at aₜ.'], ['RobustQ', '测试时方法：另训一个见过带噪动作的评论家，在 aₜ 处问它。']),
  term('cfgrl', ['CFGRL', 'A flow that is told whether its action was better than usual, and is asked to exaggerate.'], ['CFGRL', '训练时告诉流「这个动作比平常好不好」，使用时让它夸大「好」的方向。']),
  term('qam', ['QAM', 'A train-time method: the cloned flow is fine-tuned towards the tilted policy by adjoint matching.'], ['QAM', '训练时方法：用伴随匹配把克隆来的流微调成加权后的策略。']),
  term('fql', ['FQL', 'A train-time method: a student that imitates the flow in one step and climbs the critic.'], ['FQL', '训练时方法：训一个一步到位的学生，既模仿流，又往评论家高处爬。']),
  term('gradstep', ['GradStep', 'Denoise first, then take a few gradient steps on the finished action.'], ['GradStep', '先去噪完毕，再在成品动作上走几步梯度。']),
  term('qsm', ['QSM+BC', 'A train-time diffusion policy whose predicted noise is matched to the critic’s gradient, with a cloning term.'], ['QSM+BC', '训练时的扩散策略：让预测的噪声对上评论家的梯度，另加克隆项。']),
  term('dac', ['DAC', 'A train-time diffusion policy that adds the critic’s gradient to the noise that it learns to predict.'], ['DAC', '训练时的扩散策略：在要预测的噪声里掺进评论家的梯度。']),
  term('best-of-n', [['best-of-N', 'best-of-16', 'best-of-4', 'Best-of-16', 'best-of-$N$'], 'Draw several actions, keep the one that the critic likes best.'], [['best-of-N', 'best-of-16', 'best-of-4'], '抽几个动作，留下评论家打分最高的那个。']),
  term('bootstrapped', ['bootstrapped', 'Trained on its own estimates of what comes next.'], ['自举', '用自己对下一刻的估计来训练自己。']),
  term('goal', ['Goal-conditioned', 'The goal is an input: one policy or critic for many goals.'], ['目标条件', '目标也是输入：一个策略或评论家应付许多目标。']),
  term('placebo', ['placebo', 'A push of the same length in a random direction: what a gradient must beat.'], ['安慰剂', '长度相同、方向随机的推力；梯度至少要胜过它。']),
  term('weight', ['weight', 'w, the raw number that multiplies the gradient.'], ['权重', 'w，直接乘在梯度上的数。']),
  term('strength', ['strength', 'The push in units of the policy’s own spread of actions: a weight without a scale.'], ['强度', '以策略自身动作的散布为单位来量的推力，与量纲无关。']),
  term('seed', ['training seeds', 'Repetitions of a training that differ by chance alone.'], ['训练种子', '只有随机数不同的重复训练。']),
  term('transition', ['transitions', 'A recorded step: state, action, reward, next state.'], ['转移', '记录中的一步：状态、动作、奖励、下一个状态。']),
  term('cosine', [['cosine', 'Cosine'], 'Of the angle between two directions: 1 is the same, 0 square, −1 opposite.'], ['余弦', '两个方向夹角的余弦：1 表示同向，0 表示垂直，−1 表示反向。']),
];
