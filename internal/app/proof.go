package app

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"

	"github.com/lanyard-io/lanyard/migrate/proof"
)

// Prover returns what looks for proof that a moved workload uses what it was given. It
// asks CloudTrail only where the configuration turns that feature on, and cannot write.
// What it has read it remembers, so there is one for as long as the reader lives.
func (r *Reader) Prover(ctx context.Context, limits proof.Limits) (*proof.Prover, error) {
	cluster, err := r.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	o := proof.Options{Cluster: cluster, Now: r.opts.Now, Limits: limits}
	if c := r.opts.Config; c != nil {
		o.Prometheus = c.PrometheusURL
		if c.Features.CloudTrail {
			o.CloudTrail = r.clients.cloudTrail
		}
	}
	return proof.New(o), nil
}

// cloudTrail returns the client for a Region, in the cluster's account.
func (c *clients) cloudTrail(region string) proof.LookupAPI {
	c.mu.Lock()
	defer c.mu.Unlock()
	if client := c.trails[region]; client != nil {
		return client
	}
	cfg := c.base.Copy()
	cfg.Region = region
	c.trails[region] = cloudtrail.NewFromConfig(cfg)
	return c.trails[region]
}
