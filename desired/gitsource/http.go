package gitsource

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// httpWay keeps the connections of a source over its looks, as long as the
// certificate authorities are the same.
type httpWay struct {
	given http.RoundTripper // in place of what the rest says
	auth  Auth
	own   *http.Transport
	ca    []byte // with which own was made
}

func (h *httpWay) close() {
	if idle, ok := h.given.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
	if h.own != nil {
		h.own.CloseIdleConnections()
	}
}

// transport returns the transport of one look.
func (h *httpWay) transport() (http.RoundTripper, error) {
	if h.given != nil {
		return h.given, nil
	}
	var ca []byte
	if h.auth.CAFile != "" {
		var err error
		if ca, err = readOperators(h.auth.CAFile); err != nil {
			return nil, unusable(h.auth.CAFile, err)
		}
	}
	if h.own != nil && bytes.Equal(ca, h.ca) {
		return h.own, nil
	}
	made := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 30 * time.Second,
		MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if h.auth.CAFile != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return nil, unusable(h.auth.CAFile, errors.New("there is no certificate in it: write the authority's, in PEM"))
		}
		made.TLSClientConfig.RootCAs = pool
	}
	if h.auth.Proxy != "" {
		proxy, err := url.Parse(h.auth.Proxy)
		if err != nil {
			return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: the proxy cannot be parsed: write http://host:port", ErrURL))
		}
		made.Proxy = http.ProxyURL(proxy)
	}
	if h.own != nil {
		h.own.CloseIdleConnections()
	}
	h.own, h.ca = made, ca
	return made, nil
}

// open starts a conversation, which asks nothing yet.
func (h *httpWay) open(r *remote, l login) (conversation, error) {
	base, err := h.transport()
	if err != nil {
		return nil, err
	}
	endpoint, err := transport.NewEndpoint(r.place.url.String())
	if err != nil {
		return nil, remedy.Mark(remedy.Hold, fmt.Errorf("%w: it cannot be parsed: write https://host/path", ErrURL))
	}
	w := &wire{witness: &r.seen, limits: r.limits, base: base, origin: r.place.url, login: l, plain: h.auth.PlainHTTP}
	session, err := githttp.NewClient(&http.Client{Transport: w}).NewUploadPackSession(endpoint, nil)
	if err != nil {
		return nil, err
	}
	return &httpTalk{session: session, client: &http.Client{Transport: w, CheckRedirect: noRedirect}, endpoint: endpoint}, nil
}

// httpTalk is a conversation over HTTP, each part of which is a request. go-git lists
// the references, follows a redirect there and moves the endpoint with it; the rest
// is one POST, which this sends itself so that the answer is read as it comes.
type httpTalk struct {
	session  transport.UploadPackSession
	client   *http.Client
	endpoint *transport.Endpoint
}

func (t *httpTalk) close() error { return nil }

func (t *httpTalk) list(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := t.session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, nil
	}
	return refs, err
}

func noRedirect(*http.Request, []*http.Request) error {
	return errors.New("the server redirects in the middle of a conversation: use the address that it redirects to")
}

func (t *httpTalk) ask(ctx context.Context, asked *packp.UploadPackRequest) (io.ReadCloser, error) {
	var body bytes.Buffer
	if err := encode(&body, asked); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint.String()+"/"+transport.UploadPackServiceName, &body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	req.Header.Set("Accept", "application/x-git-upload-pack-result")
	req.Header.Set("User-Agent", capability.DefaultAgent())
	res, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// encode writes a request that has no object yet, see
// https://git-scm.com/docs/pack-protocol.
func encode(w io.Writer, asked *packp.UploadPackRequest) error {
	if err := asked.Validate(); err != nil {
		return err
	}
	if err := asked.UploadRequest.Encode(w); err != nil {
		return err
	}
	return pktline.NewEncoder(w).EncodeString("done\n")
}
