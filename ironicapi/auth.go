package ironicapi

import "net/http"

// Identity is who asks.
type Identity struct {
	// User is the name for logs and history; "" with noauth.
	User string
}

// Denial is the refusal of a request that did not say who asks.
type Denial struct {
	Status int
	Header http.Header
	Body   []byte // JSON
}

// Authenticator tells who is asking. It is called by many requests at once.
type Authenticator interface {
	Authenticate(r *http.Request) (Identity, *Denial)
}
