// The API page: the OpenAPI document, readable, with a form to try each route.
import "rapidoc";
