package prober

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	corev1 "k8s.io/api/core/v1"
)

// tokenReader is the file that a container reads its token from.
type tokenReader func() (string, error)

// GetToken implements [endpointcreds.AuthTokenProvider].
func (r tokenReader) GetToken() (string, error) { return r() }

// GetIdentityToken implements [stscreds.IdentityTokenRetriever].
func (r tokenReader) GetIdentityToken() ([]byte, error) {
	text, err := r()
	return []byte(text), err
}

// obtain gets credentials as the container would, and returns the ARN of the session that
// they are for.
func (p *Prober) obtain(ctx context.Context, pod *corev1.Pod, w wiring) (sessionARN string, err error) {
	ctx, cancel := context.WithTimeout(ctx, longestProbe)
	defer cancel()
	read := tokenReader(func() (string, error) { return p.tokens.of(ctx, pod, w.token) })
	var provider aws.CredentialsProvider
	switch {
	case w.problem != "":
		return "", &wiringError{w.problem}
	case w.mechanism == WebIdentity:
		provider = stscreds.NewWebIdentityRoleProvider(p.sts(aws.AnonymousCredentials{}), w.roleARN, read)
	default:
		provider = endpointcreds.New(w.endpoint, func(o *endpointcreds.Options) {
			o.HTTPClient, o.AuthorizationTokenProvider, o.Retryer = p.inside(pod.Spec.NodeName), read, retryer()
		})
	}
	got, err := provider.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	me, err := p.sts(credentials.StaticCredentialsProvider{Value: got}).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", err
	}
	return *me.Arn, nil
}

// longestProbe bounds a probe on the wall clock.
const longestProbe = 10 * time.Second

// retryer is the SDK's, with pauses cut short: a fault of the double does not pass sooner
// by waiting on the wall clock.
func retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxBackoff = 50 * time.Millisecond
		o.Retryables = append(o.Retryables, retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusTooManyRequests: {}}})
	})
}

func (p *Prober) sts(c aws.CredentialsProvider) *sts.Client {
	return sts.NewFromConfig(aws.Config{
		Region: p.o.Region, BaseEndpoint: &p.o.Endpoint, Credentials: c, Retryer: retryer, HTTPClient: p.http,
	})
}

// inside is the network of a pod on a node: the agent's address is that of the node's
// agent, and there is nothing else.
func (p *Prober) inside(node string) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err != nil || !slices.Contains(agentHosts, host) {
				return nil, errors.New("dial " + address + ": the sandbox's pods reach their node's agent only")
			}
			agent, ok := p.o.Agents.Address(node)
			if !ok {
				return nil, &noAgentError{node}
			}
			conn, err := new(net.Dialer).DialContext(ctx, network, agent)
			if err != nil {
				return nil, &noAgentError{node}
			}
			return conn, nil
		}},
	}
}

// noAgentError is a node where nothing listens at the agent's address.
type noAgentError struct{ node string }

func (e *noAgentError) Error() string { return "node " + e.node + ": no Pod Identity agent listens" }

// wiringError is what an SDK says before it asks anybody.
type wiringError struct{ problem string }

func (e *wiringError) Error() string { return e.problem }

// roleOf returns account and name of the role in a session's ARN, which has no path.
func roleOf(sessionARN string) (account, name string) {
	p := strings.SplitN(sessionARN, ":", 6)
	if len(p) != 6 {
		return "", ""
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(p[5], "assumed-role/"), "/")
	return p[4], name
}

// isRole reports whether a role's ARN is of that account and name.
func isRole(roleARN, account, name string) bool {
	p := strings.SplitN(roleARN, ":", 6)
	return len(p) == 6 && p[4] == account && p[5][strings.LastIndexByte(p[5], '/')+1:] == name
}
