//! `${NAME}`, `${NAME:-default}`, `${env:NAME}`, `${file:PATH}`.
