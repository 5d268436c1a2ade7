//! An HTTP service in Rust: adds up the numbers of a query, `GET /sum?1&2&3`.
//!
//! `handle` is called once for each request, by default in a fresh instance.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// The status and the text of the answer to a path.
fn answer(path: &str) -> (u16, String) {
    let Some(query) = path.strip_prefix("/sum?") else {
        return (404, "GET /sum?NUMBER&NUMBER…\n".into());
    };
    let numbers: Result<Vec<i64>, _> = query.split('&').map(str::parse).collect();
    match numbers.map(|numbers| numbers.into_iter().try_fold(0i64, i64::checked_add)) {
        Ok(Some(sum)) => (200, format!("{sum}\n")),
        Ok(None) => (400, "that is more than a number can be\n".into()),
        Err(error) => (400, format!("{error}\n")),
    }
}

struct Tally;

impl Guest for Tally {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, text) = answer(&request.path_with_query().unwrap_or_default());
        let headers = Fields::new();
        headers
            .append("content-type", b"text/plain; charset=utf-8")
            .expect("a header of ours");
        let response = OutgoingResponse::new(headers);
        response.set_status_code(status).expect("a status of ours");
        let body = response.body().expect("nobody took it yet");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("nobody took it yet");
        // One call takes at most 4096 bytes. If the other side is gone, nobody is there to be told.
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}

wasip2::http::proxy::export!(Tally);
