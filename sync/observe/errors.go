package observe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-io/lanyard/internal/remedy"
	"github.com/lanyard-io/lanyard/sync/live"
)

// ErrUnconfigured is what [Options].IAM returns, wrapped or not, for an account that
// the configuration names no role in.
var ErrUnconfigured = errors.New("no role to assume in this account: add it to the configuration's accounts")

// errBudget is a call that was not made, because its turn in the token bucket would
// have come after the look's deadline.
type errBudget struct{ error }

// refusals are the codes that mean "you may not", credentials that are no longer good
// among them: asking again does not help.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
var refusals = []string{
	"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException", "NotAuthorized", "AuthFailure",
	"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "InvalidIdentityToken",
	"UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
	"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired", "RegionDisabledException",
}

// Classify says why a read has no answer, and in which words: see [Observer].
func Classify(err error) (live.GapReason, string) { return classify(err) }

// classify says why a read has no answer, and in which words. The words are the
// service's own, without requests, tokens and request IDs, so that the same failure reads
// the same twice and nothing secret is told.
func classify(err error) (live.GapReason, string) {
	if errors.Is(err, ErrUnconfigured) {
		return live.GapUnconfigured, ErrUnconfigured.Error()
	}
	if _, ok := errors.AsType[errBudget](err); ok {
		return live.GapThrottled, "its turn under lanyard's own rate limit did not come before the look had to end"
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return classifyCode(api.ErrorCode(), statusOf(err)), short(plain(api.ErrorCode() + ": " + api.ErrorMessage()))
	}
	switch {
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return live.GapRefused, short(plain(err.Error()))
	case apierrors.IsTooManyRequests(err):
		return live.GapThrottled, short(plain(err.Error()))
	case errors.Is(err, context.DeadlineExceeded):
		return live.GapFailed, "no answer in time"
	case errors.Is(err, context.Canceled):
		return live.GapFailed, "the look was cut short"
	}
	return live.GapFailed, short(plain(err.Error()))
}

func classifyCode(code string, status int) live.GapReason {
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch {
	case slices.Contains(refusals, code):
		return live.GapRefused
	case throttled, status == http.StatusTooManyRequests:
		return live.GapThrottled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return live.GapRefused
	}
	return live.GapFailed
}

func statusOf(err error) int {
	if res, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return res.HTTPStatusCode()
	}
	return 0
}

// missing reports that the service knows no such thing.
func missing(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && slices.Contains([]string{"NoSuchEntity", "NoSuchEntityException", "ResourceNotFoundException"}, api.ErrorCode())
}

// unassumable reports that the call was not made at all, because the role that leads
// into the account could not be assumed.
func unassumable(err error) bool {
	for {
		op, ok := errors.AsType[*smithy.OperationError](err)
		if !ok {
			return false
		}
		if op.ServiceID == "STS" && strings.HasPrefix(op.OperationName, "AssumeRole") {
			return true
		}
		err = op.Err
	}
}

// halting classes an error that there is no look without.
func halting(what string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", what, context.Canceled)
	}
	reason, message := classify(err)
	class := remedy.Retry
	if reason == live.GapRefused || missing(err) {
		class = remedy.Hold
	}
	return remedy.Mark(class, fmt.Errorf("%s: %s: %w", what, reason, &worded{message, err}))
}

// cancelled returns an error where the context was cancelled: somebody wants no answer any
// more. A deadline that has passed is a gap instead.
func cancelled(ctx context.Context, what string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	return nil
}

// What a message says besides its cause, and differently each time, or to nobody's
// good: it goes into snapshots, logs and pages.
var (
	// request is how net/http begins an error: method and URL.
	request = regexp.MustCompile(`\b[A-Z][a-z]+ "[a-z]+://[^"]*": `)
	// address is a URL. Its host is kept: user, path and query may hold a secret.
	address = regexp.MustCompile(`\b[A-Za-z][A-Za-z0-9+.-]*://(?:[^\s"'/?#]*@)?([^\s"'/?#@]*)[^\s"']*`)
	// requestID is what the SDK writes of an answer that it cannot read.
	requestID = regexp.MustCompile(`,? ?\b(?:RequestID|HostID): ?[\w+/=-]*`)
	// bearer is a token in words, or a JSON Web Token by its looks.
	bearer = regexp.MustCompile(`(?i:\bbearer\s+)[\w.~+/=-]{8,}|\beyJ[\w-]+(?:\.[\w-]+)*`)
)

// plain drops from a message what is no cause: the request, all of a URL but its host,
// IDs of requests, and tokens.
func plain(message string) string {
	message = request.ReplaceAllString(message, "")
	message = address.ReplaceAllString(message, "$1")
	message = requestID.ReplaceAllString(message, "")
	return bearer.ReplaceAllString(message, "(a token)")
}

// worded is an error in other words.
type worded struct {
	words string
	err   error
}

func (w *worded) Error() string { return w.words }
func (w *worded) Unwrap() error { return w.err }

// short bounds a message and keeps it on one line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}
