package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/lanyard-io/lanyard/internal/sandbox/awsd"
	"github.com/lanyard-io/lanyard/internal/sandbox/virtual"
)

// TestListenersAreBounded: a client that comes when all places are taken is served, at
// the cost of the oldest, and none is left after close.
func TestListenersAreBounded(t *testing.T) {
	t.Parallel()
	l := listeners{log: slog.New(slog.DiscardHandler)}
	addr, err := l.listen(t.Context(), "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, 200, "ok") }), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.listen(t.Context(), addr.String(), nil, nil); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("an address in use: %v", err)
	}
	l.serve()
	var idle []net.Conn
	for range maxClients { // connections that send nothing
		c, err := net.Dial("tcp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/", nil)
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatalf("a probe beside clients who hold every place: %v", err)
	}
	_ = answer.Body.Close()
	for i, c := range idle {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		if ended := err != nil && !errors.Is(err, os.ErrDeadlineExceeded); ended != (i == 0) {
			t.Errorf("the connection made as number %d ended: %t (%v); want the oldest alone to end", i, ended, err)
		}
		if i == 1 {
			break
		}
	}
	for _, c := range idle {
		_ = c.Close()
	}
	if err := l.close(); err != nil {
		t.Error(err)
	}
	if _, err := net.DialTimeout("tcp", addr.String(), time.Second); err == nil {
		t.Error("still listening after close")
	}
}

// TestAttempts: every attempt of a call is told, the SDK's retries included, with AWS's
// words for service, operation and code.
func TestAttempts(t *testing.T) {
	t.Parallel()
	aws := awsd.New(awsd.Options{Clock: virtual.NewClock(time.Now())})
	url, err := aws.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = aws.Close() }()
	if err := aws.PutAccount(awsd.Account{ID: "123456789012"}); err != nil {
		t.Fatal(err)
	}
	aws.AddFault(awsd.Fault{Service: "iam", Operation: "GetAccountSummary", Kind: awsd.Throttle, Times: 1})
	var told []string
	id, secret := awsd.AccessKey("123456789012")
	c := patient(*StaticAWS("eu-west-1", url, id, secret))
	c.APIOptions = append(c.APIOptions, attempts("calls", func(service, operation, code string, _ time.Duration) {
		told = append(told, service+" "+operation+" "+code)
	}))
	if _, err := iam.NewFromConfig(c).GetAccountSummary(t.Context(), &iam.GetAccountSummaryInput{}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(told, ", "); got != "iam GetAccountSummary Throttling, iam GetAccountSummary ok" {
		t.Errorf("told %s", got)
	}
}
