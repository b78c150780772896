package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/live"
	"github.com/lanyard-io/lanyard/sync/status"
)

// maxSnapshot bounds what is read of a daemon's answer: more is not decoded.
const maxSnapshot = live.MaxFile

// remoteTimeout is how long a daemon may take to answer.
const remoteTimeout = 2 * time.Minute

// Access is how a daemon is asked: by whom, and who vouches for it.
type Access struct {
	Token  string
	CAFile string // certificate authorities; the system's if empty
}

// client returns one that follows no redirect: the token goes nowhere else.
func (a Access) client() (*http.Client, error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if a.CAFile == "" {
		return c, nil
	}
	text, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w: name a PEM file with --api-ca", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM: name a file with those that vouch for the daemon with --api-ca", a.CAFile)
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		transport = &http.Transport{}
	}
	transport = transport.Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	transport.DisableKeepAlives = true
	c.Transport = transport
	return c, nil
}

// RemoteSnapshot reads the snapshot of a running daemon, at its address or at the whole
// URL of /api/v1/snapshot. The token goes over https, or to this machine, and nowhere
// else: a redirect is not followed.
func RemoteSnapshot(ctx context.Context, address string, access Access) (*live.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	code, data, err := remote(ctx, "--live", address, "/api/v1/snapshot", access, maxSnapshot)
	if err != nil {
		return nil, err
	}
	if code != http.StatusOK {
		return nil, refusal(code, "/api/v1/snapshot", data)
	}
	snapshot, err := live.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("read the daemon's snapshot: %w", err)
	}
	return snapshot, nil
}

// Status is the answer of a daemon's /api/v1/status, [Moving] one of what it has on its
// way, [Step] one of the steps that it took, and [IdentityProbe] what one of its identity
// probes came to.
type (
	Status        = status.Status
	Moving        = status.Moving
	Step          = status.Step
	IdentityProbe = status.IdentityProbe
)

// maxStatus bounds what is read of one, and statusTimeout how long it may take.
const (
	maxStatus     = 64 << 20
	statusTimeout = 20 * time.Second
)

// RemoteStatus reads the status of a running daemon, at its address or at the whole URL of
// /api/v1/status; whole is the document as it came. One that has made no good round yet
// answers too.
func RemoteStatus(ctx context.Context, address string, access Access) (s Status, whole []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	code, whole, err := remote(ctx, "the URL", address, "/api/v1/status", access, maxStatus)
	if err != nil {
		return s, nil, err
	}
	if code != http.StatusOK && code != http.StatusServiceUnavailable {
		return s, nil, refusal(code, "/api/v1/status", whole)
	}
	if err := json.Unmarshal(whole, &s); err != nil {
		return s, nil, fmt.Errorf("read the daemon's status: %w: is that lanyard's API?", err)
	}
	if s.Started.IsZero() { // every status has it
		return s, nil, refusal(code, "/api/v1/status", whole)
	}
	return s, whole, nil
}

// remote asks a daemon for one document. Where names how the address was given.
func remote(ctx context.Context, where, address, path string, access Access, most int64) (code int, data []byte, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return 0, nil, fmt.Errorf("%s is no URL of a daemon: write https://HOST, or http://127.0.0.1:PORT behind kubectl port-forward", where) // not printed: it may hold a password
	case u.User != nil:
		return 0, nil, fmt.Errorf("%s has a user or password in it: leave them out, and put a token into LANYARD_API_TOKEN", where)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return 0, nil, fmt.Errorf("%s %s would send a token in the open: write https, or forward a port (kubectl --namespace lanyard port-forward deployment/lanyard 8080) and write http://127.0.0.1:8080", where, u.Scheme+"://"+u.Host)
	case access.Token == "":
		return 0, nil, errors.New("a daemon asks who reads it: put a token of its --api-token-file, or one of Kubernetes, into LANYARD_API_TOKEN")
	}
	u.RawQuery, u.Fragment = "", "" // nothing of them is asked for, and errors show the URL
	if strings.Trim(u.Path, "/") == "" {
		u.Path = path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+access.Token)
	client, err := access.client()
	if err != nil {
		return 0, nil, err
	}
	answer, err := client.Do(req)
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
		return 0, nil, fmt.Errorf("ask the daemon: %w: name the authorities that vouch for it with --api-ca", err)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("ask the daemon: %w: see that it runs with its API on, and that the port is forwarded", err)
	}
	defer func() { _ = answer.Body.Close() }()
	data, err = io.ReadAll(io.LimitReader(answer.Body, most+1))
	switch {
	case err != nil:
		return 0, nil, fmt.Errorf("read the daemon's answer: %w", err)
	case int64(len(data)) > most:
		return 0, nil, fmt.Errorf("the daemon's answer is over %d bytes", most)
	}
	return answer.StatusCode, data, nil
}

// refusal is the error of an answer that is not what was asked for, with the next move.
func refusal(code int, path string, data []byte) error {
	text := strings.TrimSpace(string(data[:min(len(data), 1<<10)]))
	var said struct{ Error string }
	if json.Unmarshal(data, &said) == nil && said.Error != "" {
		text = said.Error
	}
	next := ""
	switch code {
	case http.StatusUnauthorized:
		next = ": put a token of its --api-token-file, or one that kubectl create token prints, into LANYARD_API_TOKEN"
	case http.StatusForbidden:
		next = ": bind a ClusterRole with verb get on nonResourceURL /lanyard" + path
	case http.StatusNotFound:
		next = ": the daemon shows its API only with --api-token-file or --api-access"
	case http.StatusServiceUnavailable:
		next = ": ask again in a moment"
	}
	return fmt.Errorf("the daemon says %d %s: %s%s", code, http.StatusText(code), text, next)
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
