//! The executable. For now it is the simulated exchange alone.

mod exchange;

use clap::Parser;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    exchange: exchange::ExchangeArgs,
}

fn main() -> Result<(), exchange::ExchangeError> {
    let args = Cli::parse().exchange;
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("info"));
    actix_web::rt::System::new().block_on(exchange::run(args))
}
