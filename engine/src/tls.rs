//! Whom outgoing HTTPS trusts.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use wasmtime_wasi_http::Error;

/// More certificates than any bundle has.
const BUNDLE_BYTES_MAX: u64 = 4 << 20;

/// The certificates that a guest trusts; read when the first connection needs them.
pub struct Trust {
    file: Option<String>,
    fd: Option<RawFd>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

/// A stranger's whole file by its descriptor, whatever its position is.
struct FromStart {
    fd: RawFd,
    offset: libc::off_t,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the buffer is valid for its length; the grant keeps the descriptor open.
        let count =
            unsafe { libc::pread(self.fd, buffer.as_mut_ptr().cast(), buffer.len(), self.offset) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.offset += count as libc::off_t;
        Ok(count)
    }
}

impl Trust {
    pub fn new(file: Option<String>, fd: Option<RawFd>) -> Trust {
        Trust { file, fd, config: OnceLock::new() }
    }

    /// The pod's own bundle, else the node's. No bundle: nobody is trusted.
    fn bundle(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(file) = self.file.as_ref().and_then(|file| File::open(file).ok()) {
            file.take(BUNDLE_BYTES_MAX).read_to_end(&mut bytes)?;
        } else if let Some(fd) = self.fd {
            FromStart { fd, offset: 0 }.take(BUNDLE_BYTES_MAX).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn read(&self) -> Result<Arc<ClientConfig>, String> {
        let bundle = self.bundle().map_err(|error| format!("the certificates: {error}"))?;
        let mut roots = RootCertStore::empty();
        // One certificate that nobody can read does not take the others away.
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&bundle).flatten());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// A handshake as a client of `host`.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let config = self.config.get_or_init(|| self.read()).clone();
        let config = config.map_err(|text| Error::InternalError(Some(text)))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| Error::HttpRequestUriInvalid)?;
        TlsConnector::from(config).connect(name, tcp).await.map_err(of_handshake)
    }
}

fn of_handshake(error: io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Error::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        Some(_) => Error::TlsProtocolError,
        None => Error::ConnectionTerminated,
    }
}
