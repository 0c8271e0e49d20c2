module qonverge.io/e2e/cluster/pause

go 1.25.0
