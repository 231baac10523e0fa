package store_test

import (
	"caddyshack/conductor"
	"caddyshack/ironicapi"
	"caddyshack/store"
)

var (
	_ conductor.Store = (*store.Store)(nil)
	_ ironicapi.Store = (*store.Store)(nil)
)
