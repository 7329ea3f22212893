//! Congestion control that uses a lossy path and leaves others their share. Measured, not guessed: see `model.rs`.
//!
//! Here is only what quinn asks for; every decision is in the model, which knows neither quinn nor a clock.

mod cubic;
#[cfg(test)]
mod link;
mod model;
mod rate;
#[cfg(test)]
mod tests;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, ControllerMetrics},
};

use model::Model;

/// Makes a controller for each path.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelConfig;

impl ControllerFactory for ModelConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(ModelController { epoch: now, model: Model::new(current_mtu) })
    }
}

/// The model of one path, and when its time began.
#[derive(Debug, Clone)]
struct ModelController {
    epoch: Instant,
    model: Model,
}

impl ModelController {
    fn moment(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.epoch)
    }
}

impl Controller for ModelController {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.model.on_sent(self.moment(now), bytes);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, _app_limited: bool, _rtt: &RttEstimator) {
        self.model.on_ack(self.moment(now), self.moment(sent), bytes);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, _largest_packet_num_acked: Option<u64>) {
        self.model.on_end_acks(self.moment(now), in_flight, app_limited);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        self.model.on_loss(self.moment(now), self.moment(sent), lost_bytes, is_persistent_congestion);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.on_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.model.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = self.model.window();
        metrics.pacing_rate = Some((self.model.bandwidth() * 8.0) as u64);
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.model.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
