// Package github is GitHub as a [forge.Host]: github.com, GitHub Enterprise Cloud and
// Server, through the REST API and go-github.
//
// It asks for pull requests, comments of issues and commit statuses of one repository,
// and nothing else. Its token is read anew for each request, goes to the configured
// host alone, over https or to this machine, and stands in no error. What it asked
// before it asks again with the ETag that it was given: an unchanged answer costs
// nothing of the rate limit. Answers and lists are bounded in bytes and pages.
//
// It decides nothing, and knows nothing of reports. Only internal/app imports it.
//
//	host, err := github.New(github.Options{URL: "https://api.github.com", Repository: "acme/fleet", Token: token})
package github
