// A server of k3s as a node sees it, in front of a real API server: for test/e2e/test_tunnel.py.
//
// It answers on one TLS port, as the supervisor of k3s does: the CA and the certificates of joining nodes, the list of
// servers, the tunnel (with the server side of github.com/rancher/remotedialer), and everything else from the API
// server behind it, as whom the client's certificate says. On a UNIX socket it takes HTTP CONNECT from the API server
// (egress selector "cluster") and dials through the tunnel of the node that has the address, never directly.
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/rancher/remotedialer"
)

type server struct {
	program, name, password string
	apiPort                 int
	pki, apiserver          string
	servers                 string
	days                    float64
	roots                   *x509.CertPool
	tunnels                 *remotedialer.Server
	admin                   *http.Client
	api                     *httputil.ReverseProxy

	lock      sync.Mutex
	passwords map[string]string // of nodes
	dials     int               // through a tunnel
}

type identity struct {
	user   string
	groups []string
}

func (its identity) has(group string) bool {
	for _, one := range its.groups {
		if one == group {
			return true
		}
	}
	return false
}

// Who sent the request, by client certificate or join token.
func (s *server) who(request *http.Request) identity {
	if len(request.TLS.PeerCertificates) > 0 {
		subject := request.TLS.PeerCertificates[0].Subject
		return identity{subject.CommonName, subject.Organization}
	}
	if user, password, given := request.BasicAuth(); given && password == s.password {
		switch user {
		case "node":
			return identity{"node", []string{s.program + ":agent"}}
		case "server":
			return identity{"server", []string{s.program + ":server"}}
		}
	}
	return identity{}
}

func (s *server) allow(groups ...string) func(http.HandlerFunc) http.HandlerFunc {
	return func(next http.HandlerFunc) http.HandlerFunc {
		return func(answer http.ResponseWriter, request *http.Request) {
			its := s.who(request)
			if its.user == "" {
				http.Error(answer, "not authorized", http.StatusUnauthorized)
				return
			}
			for _, group := range groups {
				if its.has(group) {
					next(answer, request)
					return
				}
			}
			http.Error(answer, "forbidden", http.StatusForbidden)
		}
	}
}

// The node that asks for a certificate: named by headers, known again by its password.
func (s *server) node(request *http.Request) (string, int) {
	name := strings.ToLower(request.Header.Get(s.program + "-Node-Name"))
	password := request.Header.Get(s.program + "-Node-Password")
	if name == "" || password == "" {
		return "", http.StatusBadRequest
	}
	its := s.who(request)
	if its.has("system:nodes") && its.user != "system:node:"+name {
		return "", http.StatusBadRequest
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if known, found := s.passwords[name]; found && known != password {
		return "", http.StatusForbidden
	}
	s.passwords[name] = password
	return name, http.StatusOK
}

func (s *server) read(name string) []byte {
	bytes, err := os.ReadFile(s.pki + "/" + name)
	if err != nil {
		log.Fatal(err)
	}
	return bytes
}

// Signs the key of the request's body (a DER CSR) and sends the certificate with its CA.
func (s *server) sign(answer http.ResponseWriter, request *http.Request, template *x509.Certificate) {
	body, err := io.ReadAll(io.LimitReader(request.Body, 1<<20))
	if err != nil || request.Method != http.MethodPost {
		http.Error(answer, "no certificate request", http.StatusBadRequest)
		return
	}
	wanted, err := x509.ParseCertificateRequest(body)
	if err != nil || wanted.CheckSignature() != nil {
		http.Error(answer, "bad certificate request", http.StatusBadRequest)
		return
	}
	pair, err := tls.LoadX509KeyPair(s.pki+"/ca.crt", s.pki+"/ca.key")
	if err != nil {
		log.Fatal(err)
	}
	authority, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		log.Fatal(err)
	}
	template.SerialNumber, _ = rand.Int(rand.Reader, big.NewInt(1<<62))
	template.NotBefore = time.Now().Add(-time.Second)
	template.NotAfter = time.Now().Add(time.Duration(s.days * 24 * float64(time.Hour)))
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, authority, wanted.PublicKey,
		pair.PrivateKey.(crypto.Signer))
	if err != nil {
		log.Fatal(err)
	}
	pem.Encode(answer, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	answer.Write(s.read("ca.crt"))
}

func (s *server) clientCertificate(answer http.ResponseWriter, request *http.Request) {
	name, status := s.node(request)
	if status != http.StatusOK {
		http.Error(answer, "node not accepted", status)
		return
	}
	s.sign(answer, request, &x509.Certificate{
		Subject:     pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (s *server) servingCertificate(answer http.ResponseWriter, request *http.Request) {
	name, status := s.node(request)
	if status != http.StatusOK {
		http.Error(answer, "node not accepted", status)
		return
	}
	addresses := []net.IP{net.ParseIP("127.0.0.1")}
	for _, text := range strings.Split(request.Header.Get(s.program+"-Node-IP"), ",") {
		address := net.ParseIP(text)
		if address == nil {
			http.Error(answer, "bad address", http.StatusInternalServerError)
			return
		}
		addresses = append(addresses, address)
	}
	s.sign(answer, request, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name, "localhost"},
		IPAddresses: addresses,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// The Node that has this address: its name.
func (s *server) nodeAt(ctx context.Context, host string) (string, error) {
	request, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.apiserver+"/api/v1/nodes", nil)
	response, err := s.admin.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct{ Addresses []struct{ Address string } }
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		return "", err
	}
	for _, node := range list.Items {
		for _, one := range node.Status.Addresses {
			if one.Address == host {
				return node.Metadata.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no node has the address %s", host)
}

// HTTP CONNECT of the API server.
func (s *server) connect(answer http.ResponseWriter, request *http.Request) {
	host, port, err := net.SplitHostPort(request.Host)
	if request.Method != http.MethodConnect || err != nil {
		http.Error(answer, "CONNECT HOST:PORT only", http.StatusMethodNotAllowed)
		return
	}
	node, err := s.nodeAt(request.Context(), host)
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	far, err := s.tunnels.Dialer(node)(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	answer.WriteHeader(http.StatusOK)
	near, buffered, err := answer.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	s.lock.Lock()
	s.dials++
	s.lock.Unlock()
	done := make(chan struct{}, 2)
	go func() { io.Copy(far, buffered); done <- struct{}{} }()
	go func() { io.Copy(near, far); done <- struct{}{} }()
	<-done
}

// For the test: dials any address through a node's tunnel, and says what came of it.
func (s *server) probe(answer http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	far, err := s.tunnels.Dialer(query.Get("node"))(request.Context(), query.Get("proto"), query.Get("address"))
	if err == nil {
		defer far.Close()
		far.SetReadDeadline(time.Now().Add(5 * time.Second))
		var one [1]byte
		_, err = far.Read(one[:])
	}
	fmt.Fprintf(answer, "%v\n", err)
}

func (s *server) status(answer http.ResponseWriter, _ *http.Request) {
	s.lock.Lock()
	defer s.lock.Unlock()
	json.NewEncoder(answer).Encode(map[string]any{"nodes": s.tunnels.ListClients(), "dials": s.dials})
}

// As whom the client's certificate says, to the API server behind us.
func (s *server) forward(answer http.ResponseWriter, request *http.Request) {
	for name := range request.Header {
		if strings.HasPrefix(name, "X-Remote-") {
			request.Header.Del(name)
		}
	}
	its := s.who(request)
	if len(request.TLS.PeerCertificates) == 0 {
		its = identity{"system:anonymous", []string{"system:unauthenticated"}}
	}
	request.Header.Set("X-Remote-User", its.user)
	for _, group := range append(its.groups, "system:authenticated") {
		if its.user == "system:anonymous" && group == "system:authenticated" {
			continue
		}
		request.Header.Add("X-Remote-Group", group)
	}
	s.api.ServeHTTP(answer, request)
}

func (s *server) routes() http.Handler {
	agents := s.allow(s.program+":agent", "system:nodes")
	nodes := s.allow("system:nodes")
	prefix := "/v1-" + s.program + "/"
	routes := http.NewServeMux()
	routes.HandleFunc("/cacerts", func(answer http.ResponseWriter, _ *http.Request) { answer.Write(s.read("ca.crt")) })
	routes.HandleFunc(prefix+"client-kubelet.crt", agents(s.clientCertificate))
	routes.HandleFunc(prefix+"serving-kubelet.crt", agents(s.servingCertificate))
	routes.HandleFunc(prefix+"client-ca.crt", agents(func(answer http.ResponseWriter, _ *http.Request) {
		answer.Write(s.read("ca.crt"))
	}))
	routes.HandleFunc(prefix+"config", agents(func(answer http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(answer).Encode(map[string]any{"HTTPSPort": s.apiPort, "SupervisorPort": s.apiPort})
	}))
	routes.HandleFunc(prefix+"apiservers", agents(func(answer http.ResponseWriter, _ *http.Request) {
		list, _ := os.ReadFile(s.servers)
		json.NewEncoder(answer).Encode(strings.Fields(string(list)))
	}))
	routes.HandleFunc(prefix+"connect", nodes(s.tunnels.ServeHTTP))
	routes.HandleFunc("/", s.forward)
	return routes
}

func load(certificate string) *tls.Config {
	pair, err := tls.LoadX509KeyPair(certificate+".crt", certificate+".key")
	if err != nil {
		log.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}
}

func main() {
	s := &server{passwords: map[string]string{}}
	address := flag.String("listen", "", "HOST:PORT of the TLS port")
	egress := flag.String("egress", "", "UNIX socket for the API server's CONNECT")
	control := flag.String("control", "", "UNIX socket for the test's questions")
	flag.StringVar(&s.program, "program", "k3s", "k3s or rke2")
	flag.StringVar(&s.pki, "pki", "", "folder with the cluster's keys")
	certificate := flag.String("certificate", "", "of the TLS port: PATH of PATH.crt and PATH.key")
	flag.StringVar(&s.apiserver, "apiserver", "", "URL of the API server")
	flag.StringVar(&s.servers, "servers", "", "file with HOST:PORT of every server")
	flag.StringVar(&s.password, "password", "", "of the join token")
	flag.Float64Var(&s.days, "days", 365, "how long certificates are valid")
	flag.Parse()

	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(s.read("ca.crt"))
	s.tunnels = remotedialer.New(func(request *http.Request) (string, bool, error) {
		name, is := strings.CutPrefix(s.who(request).user, "system:node:")
		return name, is, nil
	}, remotedialer.DefaultErrorWriter)
	admin := load(s.pki + "/admin")
	admin.RootCAs = s.roots
	s.admin = &http.Client{Transport: &http.Transport{TLSClientConfig: admin}, Timeout: 10 * time.Second}
	front := load(s.pki + "/front-proxy-client")
	front.RootCAs = s.roots
	behind, err := url.Parse(s.apiserver)
	if err != nil {
		log.Fatal(err)
	}
	s.api = httputil.NewSingleHostReverseProxy(behind)
	s.api.Transport = &http.Transport{TLSClientConfig: front, ForceAttemptHTTP2: true}
	s.api.FlushInterval = -1

	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	s.apiPort = listener.Addr().(*net.TCPAddr).Port
	config := load(*certificate)
	config.ClientAuth, config.ClientCAs = tls.VerifyClientCertIfGiven, s.roots
	config.NextProtos = []string{"h2", "http/1.1"}
	failed := make(chan error)
	serve := func(handler http.HandlerFunc, path string) {
		os.Remove(path)
		local, err := net.Listen("unix", path)
		if err != nil {
			log.Fatal(err)
		}
		go func() { failed <- http.Serve(local, handler) }()
	}
	if *egress != "" {
		serve(s.connect, *egress)
	}
	questions := http.NewServeMux()
	questions.HandleFunc("/dial", s.probe)
	questions.HandleFunc("/status", s.status)
	serve(questions.ServeHTTP, *control)
	public := &http.Server{Handler: s.routes(), TLSConfig: config}
	go func() { failed <- public.ServeTLS(listener, "", "") }()
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
