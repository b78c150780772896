package desired

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// PullRequests is where pull requests are reported on, if Features.PullRequests is on.
type PullRequests struct {
	URL        string // of the API; empty: as [Configuration.Forge] finds it
	Repository string // owner/name; empty: likewise
	TokenFile  string
	CAFile     string // for a private authority; empty: source.auth's
	Author     string // login under which comments are made; empty: as the API says
	Context    string // name of the status and the comment; empty: lanyard/CLUSTER
	Forks      bool   // whether branches of forks are answered
}

// Forge is a host of pull requests.
type Forge struct {
	API        string // its base URL
	Repository string // owner/name
	Branch     string // into which the pull requests are
	Context    string // name of what is said there
}

// fullHash matches a commit's, SHA-1 or SHA-256, in lower case.
const fullHash = `^([0-9a-f]{40}|[0-9a-f]{64})$`

var fullHashRE = regexp.MustCompile(fullHash)

// Forge returns where the pull requests of the source are: as pullRequests says, or else
// as source.url shows it, which it does for github.com and for GitHub Enterprise Cloud
// with data residency, whose API is at api.SUBDOMAIN.ghe.com.
// Source: https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency/network-details-for-ghecom
func (c *Configuration) Forge() (Forge, error) {
	f := Forge{
		API: c.PullRequests.URL, Repository: c.PullRequests.Repository, Branch: strings.TrimPrefix(c.Source.Ref, "refs/heads/"),
		Context: cmp.Or(c.PullRequests.Context, "lanyard/"+c.Cluster),
	}
	if strings.HasPrefix(f.Branch, "refs/") || fullHashRE.MatchString(f.Branch) {
		return f, errors.New("source.ref is not a branch, and pull requests go into one: write the branch")
	}
	host, repository := hostOf(c.Source.URL)
	if f.API == "" {
		switch {
		case host == "github.com" || host == "ssh.github.com":
			f.API = "https://api.github.com"
		case strings.HasSuffix(host, ".ghe.com"):
			f.API = "https://api." + host
		default:
			return f, errors.New("source.url does not show where GitHub's API is: write it as pullRequests.url, such as https://ghe.example.com/api/v3")
		}
	}
	if f.Repository == "" {
		if f.Repository = repository; f.Repository == "" {
			return f, errors.New("source.url does not show the repository's name: write it as pullRequests.repository, such as acme/fleet")
		}
	}
	return f, nil
}

// hostOf reads a host and owner/name from a repository's URL, as far as they stand there.
func hostOf(at string) (host, repository string) {
	var path string
	if _, _, isURL := strings.Cut(at, "://"); isURL {
		u, err := url.Parse(at)
		if err != nil {
			return "", ""
		}
		host, path = u.Hostname(), u.Path
	} else if before, after, scp := strings.Cut(at, ":"); scp && !strings.Contains(before, "/") {
		_, user, hasUser := strings.Cut(before, "@")
		if host = before; hasUser {
			host = user
		}
		path = after
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	if repositoryRE.MatchString(path) {
		repository = path
	}
	return strings.ToLower(host), repository
}

// repositoryRE is owner/name as GitHub has them.
var repositoryRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+$`)

// checkAPI refuses what a token would go to in the clear.
func checkAPI(s string) *complaint {
	if c := checkHTTP(s); c != nil {
		c.instead = "write one such as https://ghe.example.com/api/v3, without user, query or fragment"
		return c
	}
	u, _ := url.Parse(s)
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Scheme != "https" && u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return whole(" is not https", "write https://HOST/PATH: the token must not go there in the clear")
	}
	return nil
}

// judgePullRequests refuses a feature that cannot work.
func judgePullRequests(c *Configuration, f fields, errs *collector) {
	if !c.Features.PullRequests {
		return
	}
	at := f["features.pullRequests"].at
	if c.PullRequests.TokenFile == "" {
		errs.add(at, "features.pullRequests without pullRequests.tokenFile", "write the file of a token that may comment on pull requests and set commit statuses")
	}
	if c.Source.URL == "" {
		return // a flag may say it
	}
	if _, err := c.Forge(); err != nil {
		what, instead, _ := strings.Cut(err.Error(), ": ")
		errs.add(at, fmt.Sprintf("features.pullRequests: %s", what), instead)
	}
}
