package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lanyard-io/lanyard/internal/app"
	"github.com/lanyard-io/lanyard/sync/report"
)

func newStatus(world World, talk *voice) *cobra.Command {
	var (
		output, ca string
		watch      bool
	)
	every := 3 * time.Second
	cmd := &cobra.Command{
		Use:   "status [URL]",
		Short: "Show what a running daemon does: what moves, what waits, and for what",
		Long: `Ask a running daemon what it does: revision, mode, last round; each workload that is on
its way from one mechanism to the other, in which phase and for how long, what was just
done about it or why nothing is, and how many of its pods may be without credentials;
and the latest steps. Nothing is changed.

URL is https://HOST, or http://127.0.0.1:PORT behind kubectl port-forward; LANYARD_URL
says it too. The token goes into LANYARD_API_TOKEN: one of the daemon's --api-token-file,
or one of Kubernetes. The daemon answers with --api-token-file or --api-access only, and
only the replica that leads knows: ask that one.

-o json is the daemon's whole answer, with each step of the last hour and the exact value
before and after it. --watch goes on until Ctrl-C: on a terminal the table is redrawn;
elsewhere a line is added for each thing that changes; with -o json, a line for each look.

Exit code 0: at rest and in sync. 2: something moves or differs, a fact is missing, or a
person must act. 1: no answer.`,
		Example: `  kubectl --namespace lanyard port-forward deployment/lanyard 8080 &
  export LANYARD_API_TOKEN="$(kubectl create token reader)"
  lanyard status http://127.0.0.1:8080 --watch

  # The steps of the last hour about one ServiceAccount, with the values before and after.
  lanyard status http://127.0.0.1:8080 -o json |
    jq '.steps[] | select(.namespace == "demo" and .serviceAccount == "s3-reader")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			url := world.Getenv("LANYARD_URL")
			if len(args) > 0 {
				url = args[0]
			}
			if url == "" {
				return errors.New("which daemon? write its URL, or set LANYARD_URL: http://127.0.0.1:8080 behind kubectl port-forward")
			}
			w := &watcher{out: world.Stdout, talk: talk, ask: func(ctx context.Context) (app.Status, []byte, error) {
				return app.RemoteStatus(ctx, url, app.Access{Token: world.Getenv("LANYARD_API_TOKEN"), CAFile: ca})
			}}
			switch {
			case !watch:
				return w.once(cmd.Context(), output == "json")
			case output == "json":
				w.show = w.objects
			case talk.screen != nil:
				w.show = w.redraw
			default:
				w.show = w.append
			}
			return w.watch(cmd.Context(), every)
		},
	}
	trusting(cmd, &ca)
	cmd.Flags().BoolVar(&watch, "watch", false, "go on until Ctrl-C")
	cmd.Flags().Var((*lasting)(&every), "every", "how often --watch asks")
	format(cmd, &output, "table", "json")
	return cmd
}

// watcher asks a daemon, once or again and again, and shows what it says.
type watcher struct {
	out  io.Writer
	talk *voice
	ask  func(context.Context) (app.Status, []byte, error)
	show func(s app.Status, whole []byte, failure error) error

	drawn int // lines of the last frame
	last  app.Status
	said  map[string]string // what stands in the lines that were added, by what it is about
	told  time.Time         // of the latest step among them
	mute  string            // the failure that was said last
}

// once asks once.
func (w *watcher) once(ctx context.Context, whole bool) error {
	w.talk.progress("asking the daemon")
	s, text, err := w.ask(ctx)
	if err != nil {
		return err
	}
	if whole {
		_, err = w.out.Write(text)
	} else if away(s) == nil {
		_, err = io.WriteString(w.out, joined(frame(s, 0, 0, w.talk.paint())))
	}
	return errors.Join(err, away(s), differs(away(s) == nil && busy(s)))
}

// watch asks until the context ends, which is no failure: what counts is what was so
// then. A daemon that does not answer for a while may be about to be another one.
func (w *watcher) watch(ctx context.Context, every time.Duration) error {
	for first := true; ; first = false {
		s, whole, err := w.ask(ctx)
		if ctx.Err() != nil {
			break
		}
		if err == nil {
			err = away(s)
		}
		if err != nil && first {
			return err
		}
		if err := w.show(s, whole, err); err != nil {
			return err
		}
		if err == nil {
			w.last = s
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
			continue
		}
		break
	}
	return differs(busy(w.last))
}

// objects adds one line of JSON for each look.
func (w *watcher) objects(_ app.Status, whole []byte, failure error) error {
	if failure != nil {
		w.complain(failure)
		return nil
	}
	var line bytes.Buffer
	if err := json.Compact(&line, whole); err != nil {
		return err
	}
	line.WriteByte('\n')
	_, err := w.out.Write(line.Bytes())
	return err
}

// complain says a failure, and the same one once.
func (w *watcher) complain(failure error) {
	if text := failure.Error(); text != w.mute {
		w.talk.say("%s; asking again", text)
		w.mute = text
	}
}

// redraw shows the table in the place of the last one.
func (w *watcher) redraw(s app.Status, _ []byte, failure error) error {
	width, height := w.talk.size()
	if failure != nil {
		s = w.last
	}
	lines := frame(s, width, height-2, w.talk.paint())
	if failure != nil {
		lines = append(lines, cut("no answer, asking again: "+report.Printable(failure.Error()), width))
	}
	var b bytes.Buffer
	if w.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r\x1b[J", w.drawn)
	}
	b.WriteString(joined(lines))
	w.drawn = len(lines)
	_, err := w.out.Write(b.Bytes())
	return err
}

// append adds a line for each thing that has changed.
func (w *watcher) append(s app.Status, _ []byte, failure error) error {
	if failure != nil {
		w.complain(failure)
		return nil
	}
	w.mute = ""
	var b bytes.Buffer
	line := func(at time.Time, text string) {
		fmt.Fprintf(&b, "%s  %s\n", at.UTC().Format(time.TimeOnly), report.Printable(text))
	}
	if w.said == nil {
		w.said, w.told = map[string]string{}, s.Now // what was before is no news
		for _, text := range about(s) {
			line(s.Now, text)
		}
		if len(s.Moving) == 0 {
			line(s.Now, "nothing moves")
		}
	}
	now := map[string]string{}
	var order []string
	tell := func(key, text string) {
		now[key] = text
		order = append(order, key)
	}
	for _, text := range warnings(s) {
		tell(text, text)
	}
	for _, m := range s.Moving {
		name := m.Namespace + "/" + m.ServiceAccount
		tell(name, fmt.Sprintf("%s  to %s  %s%s%s", name, m.Wanted, m.Phase, suffix("  exposed pods: ", strings.Join(m.Exposed, ", ")), suffix("  ", next(m))))
	}
	for _, step := range slices.Backward(s.Steps) {
		if step.At.After(w.told) {
			line(step.At, told(step))
		}
	}
	if len(s.Steps) > 0 && s.Steps[0].At.After(w.told) {
		w.told = s.Steps[0].At
	}
	for _, key := range order {
		if w.said[key] != now[key] {
			line(s.Now, now[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.said)) {
		if _, still := now[key]; !still && s.MovingUnlisted == 0 {
			line(s.Now, "no more: "+key)
		}
	}
	if len(s.Moving) == 0 && len(w.last.Moving) > 0 {
		line(s.Now, "nothing moves")
	}
	w.said = now
	_, err := w.out.Write(b.Bytes())
	return err
}
