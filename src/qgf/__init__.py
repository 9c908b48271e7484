"""Q-Guided Flow: steer a flow policy at test time with a critic's gradient."""
