//! The server behind the API: actix's, with one difference. Its HTTP keeps a clock for the `Date` header that ticks twice a second
//! for as long as it lives, so that a node that nobody asks would be woken more by that than by the network. Here HTTP lives as long as
//! a connection does.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_http::{HttpService, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    Error,
    body::MessageBody,
    dev::{AppConfig, Server},
};
use tokio::net::TcpStream;

/// How long a connection without a request, or with half of one, is kept open.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of a connection may take.
const DISCONNECT: Duration = Duration::from_secs(1);

/// Serves `app` until the server is stopped. One worker is plenty, and it is a thread of its own.
///
/// # Errors
/// The address cannot be listened on.
pub(super) fn serve<F, I, S, B>(listen: SocketAddr, app: F) -> io::Result<Server>
where
    F: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let listener = TcpListener::bind(listen)?;
    let server = actix_server::Server::build()
        .listen("api", listener, move || {
            let app = app.clone();
            fn_service(move |connection: TcpStream| {
                give_up_on_the_dead(&connection);
                let http = HttpService::build()
                    .keep_alive(PATIENCE)
                    .client_request_timeout(PATIENCE)
                    .client_disconnect_timeout(DISCONNECT)
                    .finish(map_config(
                        app()
                            .into_factory()
                            .map_err(|error: S::Error| error.into().error_response()),
                        |()| AppConfig::default(),
                    ))
                    .tcp();
                async move {
                    let http = http.new_service(()).await?;
                    // What was wrong with a connection, its other end knows.
                    let _ended = http.call(connection).await;
                    Ok::<(), ()>(())
                }
            })
        })?
        .workers(1)
        .disable_signals()
        .shutdown_timeout(1);
    Ok(server.run())
}

/// Has a connection ended whose other end takes nothing for a minute: it would keep its place among the stream's readers.
fn give_up_on_the_dead(connection: &TcpStream) {
    const SILENCE_MS: u32 = 60_000;
    // A system that does not know the option gives up after a quarter of an hour.
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_user_timeout(connection, SILENCE_MS);
    #[cfg(not(target_os = "linux"))]
    let _ = (connection, SILENCE_MS);
}
