package desired

import (
	"encoding/json"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/lanyard-io/lanyard/internal/identity"
)

// whole is a complaint about a text as a whole.
func whole(what, instead string) *complaint {
	return &complaint{what: what, instead: instead, offset: -1}
}

// checkRole refuses what is not a role ARN.
func checkRole(s string) *complaint {
	if _, err := identity.ParseRoleARN(s); err != nil {
		return whole(roleFault(s, err))
	}
	return nil
}

// roleFault splits the error of [identity.ParseRoleARN] about s into what is
// wrong, without s itself, and what to write.
func roleFault(s string, err error) (what, instead string) {
	what = strings.TrimPrefix(err.Error(), strconv.Quote(s))
	what, write, ok := strings.Cut(what, ": write ")
	if !ok {
		write = "arn:aws:iam::123456789012:role/NAME"
	}
	return what, "write " + write
}

// checkRoleTemplate refuses unknown variables, and templates that are a role ARN
// for no value of their variables: it tries the shortest ones.
func checkRoleTemplate(s string) *complaint {
	tried, bad := expand(s, shortest)
	if bad != nil {
		return bad
	}
	if _, err := identity.ParseRoleARN(tried); err != nil {
		what, instead := roleFault(tried, err)
		if tried != s && strings.HasPrefix(what, ":") {
			what += ", whatever the variables are"
		}
		return whole(what, instead)
	}
	return nil
}

func checkWindows(s string) *complaint {
	if _, err := ParseWindows(s); err != nil {
		return whole(": "+err.Error(), "write days, times and a zone, such as "+windowExample)
	}
	return nil
}

func checkSessionPolicy(s string) *complaint {
	var policy map[string]json.RawMessage
	if err := json.Unmarshal([]byte(s), &policy); err != nil || policy == nil {
		return whole(" is not a JSON object", "write an IAM policy, such as '{\"Version\":\"2012-10-17\",\"Statement\":[...]}'")
	}
	return nil
}

// dateRE is a day, or a moment as RFC 3339 has it.
var dateRE = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2}))?$`)

func checkDate(s string) *complaint {
	if _, err := parseDate(s); err != nil {
		return whole(" is not in the calendar", "write a day that exists, such as 2027-01-31")
	}
	return nil
}

// parseDate returns the first moment after a day, or the moment itself.
func parseDate(s string) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, s); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	return t.UTC(), err
}

// checkURL refuses a password in a URL, where logs and process lists would show
// it. What else may be written here is for the reader of repositories to say.
func checkURL(s string) *complaint {
	if !strings.Contains(s, "://") {
		return nil // a path, or user@host:path
	}
	u, err := url.Parse(s)
	if err != nil {
		return &complaint{what: " is not a URL", instead: "write one such as https://github.com/acme/fleet", offset: -1, secret: true}
	}
	if _, secret := u.User.Password(); secret {
		return &complaint{what: " has a password in it", instead: "delete it, and name a file that has it in source.auth.tokenFile", offset: -1, secret: true}
	}
	return nil
}

func checkHTTP(s string) *complaint {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return &complaint{what: " is not the base of an http or https URL", offset: -1, secret: true,
			instead: "write one such as http://prometheus.monitoring:9090, without user, query or fragment"}
	}
	return nil
}

// checkPath refuses paths that are absolute or leave the repository.
func checkPath(s string) *complaint {
	if clean := path.Clean(s); path.IsAbs(s) || clean == ".." || strings.HasPrefix(clean, "../") {
		return whole(" leaves the repository", "write a path from its root, such as fleet")
	}
	return nil
}
