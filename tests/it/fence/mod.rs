//! A changeset run for one tenant changes that tenant only.

mod on_mariadb;
mod on_postgres;
mod paths;
mod shared;
