package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/lanyard-io/lanyard/internal/hook"
	"github.com/lanyard-io/lanyard/metrics"
)

// The times that a client of the listeners has: what is not served within them is a
// client that holds a connection for its own sake.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = 5 * time.Second
	maxHeader     = 32 << 10
	maxClients    = 256 // of each listener
	farewell      = 5 * time.Second
)

// listeners are the daemon's two.
type listeners struct {
	log     *slog.Logger
	servers []*http.Server
	on      []net.Listener
	running sync.WaitGroup
}

// listen binds an address. It is bound before the daemon does anything else: an
// address in use is a mistake that shows at once.
func (l *listeners) listen(ctx context.Context, address string, h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) (net.Addr, error) {
	on, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	addr := on.Addr()
	on = &limited{Listener: on, most: maxClients}
	if certificate != nil {
		on = tls.NewListener(on, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate, NextProtos: []string{"http/1.1"}})
	}
	l.on = append(l.on, on)
	l.servers = append(l.servers, &http.Server{
		Handler: h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0),
	})
	return addr, nil
}

// serve serves what was bound until close.
func (l *listeners) serve() {
	for i, s := range l.servers {
		l.running.Go(func() {
			if err := s.Serve(l.on[i]); err != nil && !errors.Is(err, http.ErrServerClosed) {
				l.log.Error("a listener ended", "address", l.on[i].Addr().String(), "err", err)
			}
		})
	}
}

// close lets those who are being served finish, for a moment.
func (l *listeners) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	var errs []error
	for i, s := range l.servers {
		if err := s.Shutdown(ctx); err != nil {
			errs = append(errs, s.Close())
		}
		if err := l.on[i].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	l.running.Wait()
	return errors.Join(errs...)
}

// limited holds so many connections at a time. One more ends the oldest: whoever fills
// the places keeps no probe and no scrape out, each of which is over in a moment.
type limited struct {
	net.Listener
	most int

	mu   sync.Mutex
	held []*placed // oldest first
}

// Accept waits for a connection, and makes room for it.
func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	p := &placed{Conn: c, of: l}
	l.mu.Lock()
	var oldest net.Conn
	if len(l.held) >= l.most {
		oldest = l.held[0].Conn
		l.held = l.held[1:]
	}
	l.held = append(l.held, p)
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
	return p, nil
}

// placed is a connection that gives its place back when it is closed.
type placed struct {
	net.Conn
	of *limited
}

// Close ends the connection.
func (p *placed) Close() error {
	p.of.mu.Lock()
	p.of.held = slices.DeleteFunc(p.of.held, func(o *placed) bool { return o == p })
	p.of.mu.Unlock()
	return p.Conn.Close()
}

// certificate reads a key pair anew for each handshake: certificates are renewed under
// a daemon that runs for months.
func certificate(certFile, keyFile string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, err
		}
		return &pair, nil
	}
}

// bind binds what the options ask for.
func (d *Daemon) bind(ctx context.Context) (err error) {
	o := d.opts
	defer func() {
		if err != nil {
			err = errors.Join(err, d.listeners.close())
		}
	}()
	var pair func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	if o.TLSCert != "" {
		pair = certificate(o.TLSCert, o.TLSKey)
		if _, err := pair(nil); err != nil {
			return fmt.Errorf("read the listeners' certificate: %w", err)
		}
	}
	if o.Listen != "" {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /healthz", d.healthz)
		mux.HandleFunc("GET /readyz", d.readyz)
		mux.Handle("GET /metrics", metrics.Handler(d.registry))
		mux.Handle("/api/", d.board.Handler())
		mux.Handle("/{$}", d.board.Handler())
		if d.addr, err = d.listeners.listen(ctx, o.Listen, mux, pair); err != nil {
			return err
		}
	}
	if o.HookListen != "" && len(o.HookSecrets) > 0 {
		h := hook.New(hook.Options{Secrets: secrets(o.HookSecrets), Wake: d.knock, Log: d.opts.Log, Saw: d.metrics.Hook})
		if d.hookAddr, err = d.listeners.listen(ctx, o.HookListen, h, pair); err != nil {
			return err
		}
	}
	return nil
}

// healthz answers that the process lives. It says nothing of rounds: a restart mends
// no cluster, and a Git host that is down must not kill the daemon.
func (d *Daemon) healthz(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }

// readyz answers whether this replica does its part: it leads and has made a good
// round, or it stands by for one that leads.
func (d *Daemon) readyz(w http.ResponseWriter, _ *http.Request) {
	d.mu.Lock()
	ready, why := d.ready()
	d.mu.Unlock()
	if ready {
		say(w, http.StatusOK, why)
		return
	}
	say(w, http.StatusServiceUnavailable, why)
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n")
}
