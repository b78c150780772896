package probe

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lanyard-io/lanyard/migrate"
	"github.com/lanyard-io/lanyard/sync/live"
)

// worst are the credentials that count for the whole pod if one container has them, the
// first of them first.
var worst = []live.Credential{live.CredentialBroken, live.CredentialNone, live.CredentialBoth, live.CredentialStatic, live.CredentialProfile}

// sum says what all containers that matter were given: those that the webhook was not
// told to skip. Role and audience are told where all agree.
func sum(all []live.Container) (credential live.Credential, role, audience, why string) {
	matter := slices.DeleteFunc(slices.Clone(all), func(c live.Container) bool { return c.Skipped })
	if len(matter) == 0 {
		return live.CredentialNone, "", "", "all of its containers are skipped"
	}
	for _, bad := range worst {
		for _, c := range matter {
			if c.Credential == bad {
				return bad, c.Role, c.Audience, text(strings.TrimSuffix("container "+c.Name+": "+c.Why, ": "))
			}
		}
	}
	first := matter[0]
	credential, role, audience, why = first.Credential, first.Role, first.Audience, text(first.Why)
	for _, c := range matter[1:] {
		if c.Credential != credential {
			return live.CredentialBoth, "", "", text("container " + first.Name + " has " + string(credential) + ", and container " + c.Name + " " + string(c.Credential))
		}
		if c.Role != role {
			role, why = "", text("containers "+first.Name+" and "+c.Name+" have different roles")
		}
		if c.Audience != audience {
			audience = ""
		}
	}
	return credential, role, audience, why
}

// classify says whether an error is another admission plugin's refusal. Those come with
// the codes that the plugin chose; everything else is no answer, so that a broken webhook
// or API server reads neither as a yes nor as a no.
//
//   - A webhook's denial has any code and says "admission webhook ... denied the request";
//     a ValidatingAdmissionPolicy's says "ValidatingAdmissionPolicy ... denied request".
//   - A webhook that registers side effects is not called for a dry run: the request fails
//     with 400, "admission webhook ... does not support dry run".
//   - Quota, LimitRanger, PodSecurity and the ServiceAccount plugin answer 403, and what
//     makes the pod invalid 422. RBAC's 403 is no plugin's: lanyard lacks a right.
//   - A webhook that cannot be called, with failurePolicy Fail, is a 500; see
//     https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
//     for it and for side effects.
func classify(err error) migrate.Result {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return migrate.AnswerFailed
	}
	s := status.ErrStatus
	has := func(part string) bool { return strings.Contains(s.Message, part) }
	switch {
	case has("denied the request"), has("denied request"), has("does not support dry run"):
		return migrate.AnswerRefused
	case s.Code == http.StatusForbidden && has(`cannot create resource "pods"`):
		return migrate.AnswerFailed
	case s.Code == http.StatusForbidden, s.Code == http.StatusUnprocessableEntity:
		return migrate.AnswerRefused
	}
	return migrate.AnswerFailed
}

// secret is a token in words, or a JSON Web Token by its looks.
var secret = regexp.MustCompile(`(?i:\bbearer\s+)[\w.~+/=-]{8,}|\beyJ[\w-]+(?:\.[\w-]+)*`)

// words are an error's, without the request, in bounds.
func words(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return text(err.Error())
}

// maxText bounds what is kept of somebody's words.
const maxText = 300

// text puts words on one line, without control characters and tokens, and cuts them.
func text(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(secret.ReplaceAllString(s, "(a token)")), " ")
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}
