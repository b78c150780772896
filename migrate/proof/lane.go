package proof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/time/rate"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// lane is one kind of event in one Region, and how far it was read. It is read backwards,
// as LookupEvents shows it: what is new, with an overlap for what comes late, before what
// is old. A look that ends early leaves a span, and the next goes on in it.
type lane struct {
	laneKey

	from, to   time.Time            // everything between was read, or is in todo
	todo       []span               // in the order in which it is read
	due        time.Time            // when to read what is new
	ids        map[string]time.Time // of what is shown again, with its time
	calls      int
	turn       int // calls since the last time that it was due
	unreadable int
	err        string // why the last call failed
}

// span is a stretch of time that is to be read, and where reading it has come.
type span struct {
	from, to time.Time
	token    string
	oldest   time.Time // what was read of it begins here; zero: nothing was
	begun    bool
	again    bool      // what is new, with what may have come late
	known    time.Time // of that, what was read before ends here
}

// rest is where what is left of the span ends.
func (s span) rest() time.Time {
	if s.oldest.IsZero() {
		return s.to
	}
	return s.oldest
}

// plan adds what has become due, once what was due before is being read or done.
func (l *lane) plan(now, start time.Time) {
	fresh := slices.IndexFunc(l.todo, func(s span) bool { return s.again })
	switch {
	case l.to.IsZero():
		l.from, l.to = now, now
		l.news(now, start, time.Time{})
	case now.Before(l.due):
	case fresh < 0:
		l.news(now, start, l.to)
	case !l.todo[fresh].begun: // it grows
		l.todo[fresh].to, l.to = now, now
	}
	if start.Before(l.from) {
		l.todo = append(l.todo, span{from: start, to: l.from})
		l.from = start
	}
}

// news puts what is new at the head. What was known before is read again, as far back
// as events come late.
func (l *lane) news(now, start, known time.Time) {
	from := l.to.Add(-overlap)
	if from.Before(start) {
		from = start
	}
	l.from = earlier(l.from, from)
	l.todo = slices.Insert(l.todo, 0, span{from: from, to: now, again: true, known: known})
	l.to, l.turn = now, 0
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// covered says until when everything since a moment was read; zero where not even its
// beginning was.
func (l *lane) covered(since time.Time) time.Time {
	until := l.to
	for _, s := range l.todo {
		from := s.from
		if s.known.After(from) {
			from = s.known
		}
		switch {
		case s.rest().Before(since):
		case !from.After(since):
			return time.Time{}
		default:
			until = earlier(until, from)
		}
	}
	return until
}

// reader is what a lane is read with.
type reader struct {
	api     LookupAPI
	bucket  *rate.Limiter
	cluster identity.Cluster
	found   func(sight)
}

// errTurn ends a look whose share of the rate is used up.
var errTurn = errors.New("no turn was left in this look")

// read reads on until the lane is read, or the look's share of pages.
func (l *lane) read(ctx context.Context, r reader, now time.Time, limits Limits) {
	if l.err != "" && now.Before(l.due) {
		return // it failed a moment ago
	}
	for page := 0; len(l.todo) > 0 && page < limits.Pages; page++ {
		s := &l.todo[0]
		done, err := l.page(ctx, r, s)
		_, stale := errors.AsType[*types.InvalidNextTokenException](err)
		switch {
		case err == nil && done:
			if s.again {
				l.due = now.Add(max(limits.Every, time.Duration(l.turn)*pace))
			}
			l.todo = l.todo[1:]
		case err == nil:
		case errors.Is(err, errTurn):
			return
		case stale && s.token != "": // it has grown old: begin anew where it had come
			s.to, s.token, s.oldest = s.rest(), "", time.Time{}
			continue
		default:
			l.err, l.due = l.words(err), now.Add(limits.Every)
			return
		}
		l.err = ""
	}
	for id, at := range l.ids { // later spans do not go back so far
		if at.Before(l.to.Add(-2 * overlap)) {
			delete(l.ids, id)
		}
	}
}

// page reads one page of a span, and says whether it was the last.
func (l *lane) page(ctx context.Context, r reader, s *span) (done bool, err error) {
	if err := r.bucket.Wait(ctx); err != nil {
		return false, errTurn
	}
	l.calls++
	l.turn++
	in := &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventName, AttributeValue: aws.String(l.event)}},
		StartTime:        aws.Time(s.from.Truncate(time.Second)), EndTime: aws.Time(s.to.Truncate(time.Second).Add(time.Second)),
		MaxResults: aws.Int32(50),
	}
	if s.token != "" {
		in.NextToken = aws.String(s.token)
	}
	out, err := r.api.LookupEvents(ctx, in)
	if err != nil {
		return false, err
	}
	s.begun = true
	for _, e := range out.Events {
		l.take(e, s, r)
	}
	more := aws.ToString(out.NextToken)
	if more != "" && more == s.token {
		return false, errors.New("it handed out the same page token twice")
	}
	s.token = more
	return more == "", nil
}

// take reads one event, if it is new.
func (l *lane) take(e types.Event, s *span, r reader) {
	at := aws.ToTime(e.EventTime)
	if !at.IsZero() && (s.oldest.IsZero() || at.Before(s.oldest)) {
		s.oldest = at
	}
	id := aws.ToString(e.EventId)
	if _, known := l.ids[id]; known && id != "" {
		return
	}
	if s.again && len(l.ids) < mostIDs {
		l.ids[id] = at
	}
	switch found, ours, err := parse(aws.ToString(e.CloudTrailEvent), r.cluster); {
	case err != nil:
		l.unreadable++
	case ours:
		r.found(found)
	}
}

// mostIDs bounds what is remembered of the events that are shown again. An event that is
// not remembered is read twice, which changes nothing.
const mostIDs = 50_000

// words says why a call failed, and what mends it.
func (l *lane) words(err error) string {
	who := "CloudTrail of " + l.region
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return who + " did not answer in time"
		}
		return who + ": " + plain(err)
	}
	code := api.ErrorCode()
	status := 0
	if res, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		status = res.HTTPStatusCode()
	}
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch {
	case slices.Contains(refusals, code) || status == http.StatusForbidden || status == http.StatusUnauthorized:
		return fmt.Sprintf("%s refused LookupEvents (%s): grant what lanyard policy --feature cloudtrail prints", who, code)
	case throttled || status == http.StatusTooManyRequests:
		return fmt.Sprintf("%s throttles LookupEvents (%s), of which all tools of the account share 2 calls a second; it is asked again", who, code)
	}
	return fmt.Sprintf("%s: %s: %s", who, code, short(api.ErrorMessage()))
}

// refusals are the codes that mean "you may not".
// Source: https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/CommonErrors.html
var refusals = []string{
	"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation", "OptInRequired", "RegionDisabledException",
	"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
	"InvalidSignatureException", "IncompleteSignature", "MissingAuthenticationToken", "MissingAuthenticationTokenException",
	"OperationNotPermittedException", "UnsupportedOperationException",
}

// plain returns the cause of an error without requests, URLs and addresses.
func plain(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if o, ok := errors.AsType[*net.OpError](err); ok {
		err = o.Err
	}
	return short(err.Error())
}

// short bounds a message and keeps it on one line.
func short(text string) string {
	text = strings.Join(strings.Fields(printable(text)), " ")
	if r := []rune(text); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return text
}
