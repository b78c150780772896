package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/sync/live"
)

// maxSnapshot bounds what is read of a daemon's answer: more is not decoded.
const maxSnapshot = live.MaxFile

// remoteTimeout is how long a daemon may take to answer.
const remoteTimeout = 2 * time.Minute

// RemoteSnapshot reads the snapshot of a running daemon, at its address or at the whole
// URL of /api/v1/snapshot. The token goes over https, or to this machine, and nowhere
// else: a redirect is not followed.
func RemoteSnapshot(ctx context.Context, address, token string) (*live.Snapshot, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "":
		return nil, errors.New("--live is no URL of a daemon: write https://HOST, or http://127.0.0.1:PORT behind kubectl port-forward") // not printed: it may hold a password
	case u.User != nil:
		return nil, errors.New("--live has a user or password in its URL: leave them out, and put a token into LANYARD_API_TOKEN")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return nil, fmt.Errorf("--live %s would send a token in the open: write https, or forward a port (kubectl --namespace lanyard port-forward deployment/lanyard 8080) and write http://127.0.0.1:8080", u.Scheme+"://"+u.Host)
	case token == "":
		return nil, errors.New("a daemon asks who reads it: put a token of its --api-token-file, or one of Kubernetes, into LANYARD_API_TOKEN")
	}
	u.RawQuery, u.Fragment = "", "" // nothing of them is asked for, and errors show the URL
	if strings.Trim(u.Path, "/") == "" {
		u.Path = "/api/v1/snapshot"
	}
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w: see that it runs with its API on, and that the port is forwarded", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
		return nil, fmt.Errorf("the daemon says %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxSnapshot+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the daemon's answer: %w", err)
	case len(data) > maxSnapshot:
		return nil, fmt.Errorf("the daemon's answer is over %d bytes", maxSnapshot)
	}
	snapshot, err := live.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("read the daemon's snapshot: %w", err)
	}
	return snapshot, nil
}

// loopback reports whether a host is this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
