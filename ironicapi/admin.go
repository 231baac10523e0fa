package ironicapi

import (
	"net/http"

	"github.com/google/uuid"

	"caddyshack/baremetal"
)

// AdminOnly lets only administrators of the whole service through to a handler
// beside the API, with the API's own answers for everybody else. Without an
// Authenticator (noauth) everybody is one. Requests of other sites' pages are
// refused, since a browser may add the credentials of its user to them.
func AdminOnly(auth Authenticator, h http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth != nil {
			who, denial := auth.Authenticate(r)
			if denial != nil {
				(&call{w: w, r: r}).deny(denial)
				return
			}
			if !who.System.has(Admin) {
				Fail(w, r, baremetal.Errorf(baremetal.Forbidden, "Access was denied: this is for administrators of the whole service."))
				return
			}
		}
		h.ServeHTTP(w, r)
	})
	return http.NewCrossOriginProtection().Handler(guarded)
}

// Fail answers with an error in the API's form. The text of what went wrong
// inside is shown too: only administrators get here.
func Fail(w http.ResponseWriter, r *http.Request, err error) {
	c := call{w: w, r: r, id: "req-" + uuid.NewString()}
	c.w.Header().Set("Openstack-Request-Id", c.id)
	c.fault(statusOf(baremetal.KindOf(err)), err.Error())
}
