//! Serving: the read service on a socket, beside whatever feeds the store.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use ionflux_ledger::shop::Shops;
use ionflux_schemas::key::ShopKey;
use ionflux_schemas::time::{Calendar, Zone};
use ionflux_service::health::HealthBoard;
use ionflux_service::routes::{self, Calendars, Context};
use ionflux_service::store::Store;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::failure::Failure;
use crate::http::tls::Tls;
use crate::http::{Limits, Server};

/// Threads that answer requests; SQL over large views must not starve the page.
const SERVICE_THREADS: usize = 2;

/// A service that answers until it is dropped.
pub struct Service {
    runtime: Runtime,
    server: Server,
    store: Arc<Store>,
    ended: Arc<Notify>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What is served.
pub struct Served {
    /// The views.
    pub store: Arc<Store>,
    /// The shops: the page's "today" is theirs.
    pub shops: Arc<Shops>,
    /// What the components say of themselves.
    pub board: Arc<HealthBoard>,
    /// What they count.
    pub registry: Registry,
    /// The doors of the sources beside the read service.
    pub doors: Router,
    /// TLS, where a certificate is given.
    pub tls: Option<Tls>,
}

impl Served {
    /// The views of books that are open, and nothing beside them.
    #[must_use]
    pub fn plain(store: Arc<Store>, shops: Arc<Shops>) -> Self {
        let (board, registry) = (Arc::default(), Registry::new());
        Self { store, shops, board, registry, doors: Router::new(), tls: None }
    }
}

/// Each shop's days.
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
    pub fn start(address: SocketAddr, served: Served) -> Result<Self, Failure> {
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
        let Served { store, shops, board, registry, doors, tls } = served;
        let context = Context { calendars: calendars(shops), board, registry };
        let router = routes::router(Arc::clone(&store), context).merge(doors);
        let server = {
            let _within = runtime.enter();
            Server::start(listener, router, tls, Limits::default())
        };
        Ok(Self { runtime, server, store, ended: Arc::default(), address })
    }

    /// Ends in order: takes no further request, and waits until those under way are answered. What
    /// takes deliveries in must be open until then.
    pub fn drain(&self) {
        // Streams never end by themselves.
        self.store.close();
        if !self.runtime.block_on(self.server.drain()) {
            tracing::warn!("some requests were not answered in time before the end");
        }
    }

    /// Waits until the process is asked to stop (Ctrl-C, SIGTERM), or woken.
    ///
    /// # Errors
    /// When signals cannot be waited for.
    pub fn wait_for_stop(&self) -> Result<(), Failure> {
        let failed = |cause| Failure::world(format!("cannot wait for signals: {cause}"), "");
        let ended = Arc::clone(&self.ended);
        let stopped = async move {
            tokio::select! {
                asked = stop() => asked,
                () = ended.notified() => Ok(()),
            }
        };
        self.runtime.block_on(stopped).map_err(failed)
    }

    /// A handle that wakes [`Service::wait_for_stop`] for another reason than a signal.
    #[must_use]
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.ended)
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
