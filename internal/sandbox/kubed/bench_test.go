package kubed

import (
	"fmt"
	"testing"
)

func BenchmarkSeedServiceAccounts(b *testing.B) {
	c, _ := newCluster(b)
	for i := range b.N {
		if err := c.Seed(account("demo", fmt.Sprint("sa-", i))); err != nil {
			b.Fatal(err)
		}
	}
}
