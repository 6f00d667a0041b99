"""Proximal policy optimization of a pole on a cart; the policy has no forward, but act and evaluate."""

import torch
from torch import nn
from torch.distributions import Categorical


recorder = globals().get("recorder")  # harness

GAMMA, LAMBDA, CLIP, EPOCHS = 0.99, 0.95, 0.2, 4


class Pole:
    """The pole's angle and speed, with linear physics; it falls beyond 0.5."""

    def reset(self):
        self.state = torch.rand(2) * 0.2 - 0.1
        return self.state

    def step(self, action):
        angle, speed = self.state
        speed = speed + 0.05 * angle + (0.03 if action else -0.03)
        self.state = torch.stack([angle + speed, speed])
        return self.state, 1.0, bool(self.state[0].abs() > 0.5)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
        self.critic = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))

    @torch.no_grad()
    def act(self, state):
        policy = Categorical(logits=self.actor(state))
        action = policy.sample()
        return action, policy.log_prob(action), self.critic(state).squeeze(-1)

    def evaluate(self, states, actions):
        policy = Categorical(logits=self.actor(states))
        return policy.log_prob(actions), self.critic(states).squeeze(-1), policy.entropy()


def rollout(env, policy, length=24):
    state, steps = env.reset(), []
    for _ in range(length):
        action, log_prob, value = policy.act(state)
        next_state, reward, done = env.step(action)
        steps.append((state, action, log_prob, value, torch.tensor(reward), torch.tensor(float(done))))
        state = env.reset() if done else next_state
    return [torch.stack(column) for column in zip(*steps)] + [policy.act(state)[2]]


def advantages_of(rewards, values, dones, last):
    advantage, found = torch.zeros(()), []
    following = torch.cat([values[1:], last[None]])
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + GAMMA * following[t] * (1 - dones[t]) - values[t]
        advantage = delta + GAMMA * LAMBDA * (1 - dones[t]) * advantage
        found.insert(0, advantage)
    return torch.stack(found)


torch.manual_seed(0)
env, policy = Pole(), ActorCritic()
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2, eps=1e-5)
recorder and recorder.watch(policy, optimizer)  # harness
for iteration in range(3):
    states, actions, old_log_probs, values, rewards, dones, last = rollout(env, policy)
    advantages = advantages_of(rewards, values, dones, last)
    returns = advantages + values
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for _ in range(EPOCHS):
        recorder and recorder.batch([states, advantages, returns], actions)  # harness
        log_probs, new_values, entropy = policy.evaluate(states, actions)
        ratio = (log_probs - old_log_probs).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        policy_loss = -torch.min(ratio * advantages, clipped * advantages).mean()
        value_loss = (new_values - returns).square().mean()
        loss = policy_loss + 0.5 * value_loss - 0.01 * entropy.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimizer.step()
        recorder and recorder.log(policy=policy_loss, value=value_loss)  # harness
    print(f"iteration {iteration} falls {int(dones.sum())} value loss {value_loss.item():.4f}")
