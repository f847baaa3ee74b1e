//! What an instance is doing, as those who decide about its end need to know it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::time::{Sleep, sleep_until};
use wasmtime::{Trap, UpdateDeadline};
use wasmtime_wasi_http::handler::{WorkerExpiration, WorkerStatus};

use super::call::{Answering, Call};
use super::failure::{SiteFailure, root_cause};
use super::memory::Refused;
use crate::wasm::sandbox::Budget;

/// How long an instance is kept for the next request.
const IDLE: Duration = Duration::from_secs(1);

/// How long an instance may go on after the end of its response.
const AFTERWORK: Duration = Duration::from_secs(10);

/// How long an instance may go on when whoever asked is gone, before there was a response.
const ABANDONED: Duration = Duration::from_secs(1);

/// Shared by an instance's store, its task, and whoever asked.
#[derive(Debug)]
pub(super) struct InstanceState {
    budget: Budget,
    refused: Arc<Refused>,
    work: Mutex<Work>,
    /// Ticks of the epoch since it last waited for anything.
    ticks: AtomicU64,
    /// It has let others run, but is not waiting.
    yielded: AtomicBool,
    /// Of its task, to be woken when a call has ended.
    task: AtomicWaker,
}

#[derive(Debug)]
struct Work {
    /// The request that it is answering, until its response is whole.
    call: Option<Arc<Call>>,
    /// When there was one last, and whether it has got a response.
    ended: Instant,
    has_response: bool,
}

impl InstanceState {
    pub(super) fn new(budget: Budget, refused: Arc<Refused>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            refused,
            work: Mutex::new(Work { call: None, ended: Instant::now(), has_response: true }),
            ticks: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
            task: AtomicWaker::new(),
        })
    }

    pub(super) fn is_answering(&self) -> bool {
        self.work().call.is_some()
    }

    /// The epoch has advanced while it computed.
    pub(super) fn tick(&self) -> wasmtime::Result<UpdateDeadline> {
        if self.ticks.fetch_add(1, Ordering::Relaxed) >= self.budget.ticks() {
            return Err(Trap::Interrupt.into());
        }
        self.yielded.store(true, Ordering::Relaxed);
        Ok(UpdateDeadline::Yield(1))
    }

    /// It has ended: whoever has not got all of the response is told. Returns whether anybody has, or waits no longer.
    pub(super) fn over(&self, failure: Option<SiteFailure>) -> bool {
        let mut work = self.work();
        let call = work.call.take();
        call.map(|call| call.end(failure)).is_some() || !work.has_response
    }

    /// What it may take before its end: `None` for as long as it likes.
    fn patience(&self, status: WorkerStatus, since: Instant) -> Option<Instant> {
        let work = self.work();
        match status {
            _ if work.call.is_some() => None,
            WorkerStatus::Idle => Some(since + IDLE),
            WorkerStatus::Requests | WorkerStatus::PostReturn => {
                let patience = if work.has_response { AFTERWORK } else { ABANDONED };
                Some(since.max(work.ended) + patience)
            }
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answering for InstanceState {
    fn begin(&self, call: Arc<Call>) {
        self.ticks.store(0, Ordering::Relaxed);
        self.work().call = Some(call);
    }

    fn end(&self, has_response: bool) {
        *self.work() = Work { call: None, ended: Instant::now(), has_response };
        self.task.wake();
    }

    fn explain(&self, error: wasmtime::Error) -> SiteFailure {
        if self.refused.own() {
            return SiteFailure::Memory(self.budget.max_memory_bytes);
        }
        if self.refused.all() {
            return SiteFailure::TotalMemory;
        }
        if error.downcast_ref() == Some(&Trap::Interrupt) {
            return SiteFailure::Computation(self.budget.call_timeout);
        }
        SiteFailure::Response(root_cause(&*error))
    }
}

/// Decides when an instance ends.
#[derive(Debug)]
pub(super) struct Expiration {
    instance: Arc<InstanceState>,
    timer: Pin<Box<Sleep>>,
}

impl Expiration {
    pub(super) fn new(instance: Arc<InstanceState>) -> Self {
        Self { instance, timer: Box::pin(sleep_until(tokio::time::Instant::now())) }
    }
}

impl WorkerExpiration for Expiration {
    /// Called whenever the instance has let others run.
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        let Self { instance, timer } = &mut *self;
        if !instance.yielded.swap(false, Ordering::Relaxed) {
            instance.ticks.store(0, Ordering::Relaxed);
        }
        instance.task.register(cx.waker());
        let Some(end) = instance.patience(status, since) else { return Poll::Pending };
        timer.as_mut().reset(end.into());
        timer.as_mut().poll(cx)
    }
}
