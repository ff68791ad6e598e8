//! Serving: the read service on a socket, beside whatever feeds the store.

use std::net::SocketAddr;
use std::sync::Arc;

use ionflux_ledger::shop::Shops;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{Calendar, Zone};
use ionflux_service::routes::{self, Calendars};
use ionflux_service::store::Store;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::failure::Failure;

/// Threads that answer requests; SQL over large views must not starve the page.
const SERVICE_THREADS: usize = 2;

/// A service that answers until it is dropped.
pub struct Service {
    runtime: Runtime,
    store: Arc<Store>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Each shop's days, for the page's "today".
fn calendars(shops: Arc<Shops>) -> Calendars {
    Arc::new(move |key: &ShopKey| {
        shops.get(key).map_or_else(|| Calendar::always(Zone::UTC), |shop| shop.calendar.clone())
    })
}

impl Service {
    /// Starts answering at an address.
    ///
    /// # Errors
    /// When the address is taken or cannot be used.
    pub fn start(
        address: SocketAddr,
        store: Arc<Store>,
        shops: Arc<Shops>,
    ) -> Result<Self, Failure> {
        let refused = |cause: std::io::Error| {
            let hint = "another program may use the port; give another with --port or in the file";
            Failure::world(format!("{address}: cannot listen: {cause}"), hint)
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(SERVICE_THREADS)
            .thread_name("service")
            .enable_all()
            .build()
            .map_err(refused)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let router = routes::router(Arc::clone(&store), calendars(shops));
        runtime.spawn(async move {
            if let Err(problem) = axum::serve(listener, router).await {
                tracing::error!("the service stopped: {problem}");
            }
        });
        Ok(Self { runtime, store, address })
    }

    /// Waits until the process is asked to stop (Ctrl-C, SIGTERM).
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn wait_for_stop(&self) -> Result<(), Failure> {
        let failed = |cause| Failure::world(format!("cannot wait for signals: {cause}"), "");
        self.runtime.block_on(stop()).map_err(failed)
    }

    /// A flag that becomes true when the process is asked to stop.
    #[must_use]
    pub fn stop_flag(&self) -> Arc<std::sync::atomic::AtomicBool> {
        let flag = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = Arc::clone(&flag);
        self.runtime.spawn(async move {
            // Without signals the process still ends with its terminal.
            if stop().await.is_ok() {
                stopped.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        flag
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.store.close();
    }
}

async fn stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
