//! Optimisers, schedules, losses, evaluation, checkpoints.
