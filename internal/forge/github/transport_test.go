package github

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/lanyard-io/lanyard/internal/remedy"
)

// TestKept: what is kept of answers is bounded, the newest stay, and none stands twice.
func TestKept(t *testing.T) {
	t.Parallel()
	c := &carrier{known: map[string]kept{}}
	size := func() (n int) {
		for _, k := range c.known {
			n += len(k.body)
		}
		return n
	}
	c.keep("huge", kept{body: make([]byte, maxKept+1)})
	for i := range 2000 {
		c.keep(strconv.Itoa(i), kept{body: make([]byte, 1+i%3)})
	}
	for range 3 {
		c.keep("1999", kept{tag: "new", body: make([]byte, 100)})
	}
	if len(c.known) != 1000 || len(c.order) != 1000 || c.size != size() || c.known["1999"].tag != "new" {
		t.Errorf("%d answers in %d places, %d bytes of %d", len(c.known), len(c.order), size(), c.size)
	}
	for i := range 100 {
		c.keep("large "+strconv.Itoa(i), kept{body: make([]byte, 1<<20)})
	}
	if _, newest := c.known["large 99"]; size() > maxKept || c.size != size() || !newest {
		t.Errorf("%d bytes of %d are kept, the newest: %t", size(), c.size, newest)
	}
}

// TestTooLarge: an answer without end is not read to its end.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for block := bytes.Repeat([]byte("x"), 1<<20); ; {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer hub.Close()
	h, err := New(Options{URL: hub.URL, Repository: "acme/fleet", Token: func() (string, error) { return "t", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Pulls(t.Context(), "main", 1); remedy.Of(err) != remedy.Hold || !strings.Contains(err.Error(), "the answer is over") {
		t.Errorf("%v, class %s", err, remedy.Of(err))
	}
}
