//! A panic in any task ends the server: the engine may not be used after it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::Notify;

/// The first panic of the server's tasks.
#[derive(Default)]
pub struct Fatal {
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    noticed: Notify,
}

impl Fatal {
    /// Resolves once a task panicked.
    pub async fn happened(&self) {
        self.noticed.notified().await;
    }

    /// Goes on with the panic, on the thread of the caller.
    pub fn resume(&self) {
        if let Some(panic) = self.panic.lock().unwrap_or_else(PoisonError::into_inner).take() {
            resume_unwind(panic);
        }
    }

    /// A task panicked.
    pub fn keep(&self, panic: Box<dyn Any + Send>) {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        self.noticed.notify_one();
    }
}

/// Starts a task of the server. (tokio would swallow its panic.)
pub fn spawn(fatal: &Arc<Fatal>, task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(Guarded { task: Some(Box::pin(task)), fatal: fatal.clone() });
}

struct Guarded<T> {
    task: Option<Pin<Box<T>>>,
    fatal: Arc<Fatal>,
}

impl<T: Future<Output = ()>> Future for Guarded<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(task) = &mut self.task else { return Poll::Ready(()) };
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(polled) => polled,
            Err(panic) => {
                // Not dropped: what it holds is in an unknown state.
                std::mem::forget(self.task.take());
                self.fatal.keep(panic);
                Poll::Ready(())
            }
        }
    }
}

/// Runs the tasks that hyper starts, one for each request of HTTP/2.
#[derive(Clone)]
pub struct Tasks(pub Arc<Fatal>);

impl<T: Future<Output = ()> + Send + 'static> hyper::rt::Executor<T> for Tasks {
    fn execute(&self, task: T) {
        spawn(&self.0, task);
    }
}
