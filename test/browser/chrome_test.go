package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screen is what a page is looked at on.
type screen struct {
	Name          string
	Width, Height int64
	Mobile        bool
}

var (
	desktop = screen{"desktop", 1280, 800, false}
	phone   = screen{"phone", 375, 812, true}
)

// chrome starts a Chromium for a test.
func chrome(t *testing.T) context.Context {
	t.Helper()
	var options []chromedp.ExecAllocatorOption
	if os.Geteuid() == 0 { // Chromium's own sandbox refuses to run as root
		options = append(options, chromedp.NoSandbox)
	}
	ctx, end := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(options...))
	if err := chromedp.Do(ctx); err != nil {
		end()
		t.Fatalf("start Chromium (Debian's package chromium): %v", err)
	}
	t.Cleanup(end)
	return ctx
}

// tab is one tab of it, and what went wrong in it.
type tab struct {
	context.Context
	t *testing.T

	mu    sync.Mutex
	wrong []string
}

// open opens a page of a daemon, as whoever has the token.
func open(t *testing.T, chrome context.Context, w *world, path string, on screen, scheme string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(chrome)
	t.Cleanup(cancel)
	check(t, chromedp.Do(ctx)) // begins it, so that the limit below is not the browser's
	ctx, late := context.WithTimeout(ctx, time.Minute)
	t.Cleanup(late)
	b := &tab{Context: ctx, t: t}
	check(t, chromedp.Listen(ctx, b.hear))
	call(b, log.Enable, cdp.Empty{})
	call(b, audits.Enable, cdp.Empty{})
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: on.Width, Height: on.Height, DeviceScaleFactor: 1, Mobile: on.Mobile})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	b.visit(w, path)
	return b
}

// visit goes to a page of a daemon.
func (b *tab) visit(w *world, path string) {
	b.t.Helper()
	address, err := url.Parse(w.url)
	check(b.t, err)
	if address.User == nil {
		address.User = url.UserPassword(reader, token)
	}
	check(b.t, chromedp.Do(b, chromedp.Navigate(address.String()+strings.TrimPrefix(path, "/"))))
}

// hear notes what a console would show in red, and what a page has no business to do.
func (b *tab) hear(event any) {
	said := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		said = "exception: " + e.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		said = fmt.Sprintf("console: %s", e.Type)
	case *log.EventEntryAdded:
		said = fmt.Sprintf("log: %s %s %s %s", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		said = fmt.Sprintf("issue: %s", e.Issue.Code)
	case *page.EventJavascriptDialogOpening:
		said = "dialog: " + e.Message
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, said)
}

func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	r, err := chromedp.Call(b, command, params)
	check(b.t, err)
	return r
}

// eval runs a script in the page.
func eval[T any](b *tab, script string) T {
	b.t.Helper()
	v, err := chromedp.Run(b, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	check(b.t, err)
	return v
}

// shot is a picture of the page, as far down as a number of pixels; of all of it for 0.
func (b *tab) shot(down int64) []byte {
	b.t.Helper()
	size := eval[[2]int64](b, `new Promise((done) => requestAnimationFrame(() => done([document.documentElement.clientWidth, document.documentElement.scrollHeight])))`)
	if down > 0 {
		size[1] = min(size[1], down)
	}
	beyond := true
	return call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &beyond,
		Clip: &page.Viewport{Width: float64(size[0]), Height: float64(size[1]), Scale: 1}}).Data
}
