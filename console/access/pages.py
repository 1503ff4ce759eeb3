"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy, ngettext
from django.views.csrf import csrf_failure

from console.access import kept, throttle


class LoginForm(AuthenticationForm):
    """Says one thing about a wrong name and a wrong password, and waits after five of them."""

    error_messages = {
        "invalid_login": gettext_lazy("User name or password is wrong. Check capitals and the keyboard layout."),
        "inactive": gettext_lazy("This account is switched off. Ask an administrator."),
    }

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))
        wait = throttle.wait(name, throttle.address(self.request))
        if wait:
            minutes = -(-wait // 60)
            raise ValidationError(
                ngettext(
                    "Too many wrong passwords for this account from here. Try again in %(n)s minute.",
                    "Too many wrong passwords for this account from here. Try again in %(n)s minutes.",
                    minutes,
                )
                % {"n": minutes},
                code="throttled",
            )
        return super().clean()


class Login(views.LoginView):
    """With ``kept`` (a form that was sent after the session had ended) it is offered for sending after signing in."""

    form_class = LoginForm
    template_name = "access/login.html"
    redirect_authenticated_user = True

    @method_decorator(login_not_required)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # Signed in meanwhile in another tab.
        if request.user.is_authenticated and (again := _again(request)) is not None:
            return again
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        answer = super().form_valid(form)
        return _again(self.request) or answer

    def form_invalid(self, form: Any) -> HttpResponse:
        answer = super().form_invalid(form)
        answer.status_code = 429 if form.has_error("__all__", "throttled") else 422
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, kept=self.request.POST.get("kept", ""))


def sign_in_again(request: HttpRequest, typed: str) -> HttpResponse:
    """The answer to a form whose session had ended; ``typed`` is that form, as ``kept.keep`` made it."""
    context = {"form": LoginForm(request), "kept": typed, "next": reverse("overview")}
    return render(request, "access/login.html", context, status=403)


def form_too_old(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """The answer to a form whose token is not of this session: somebody signed in or out in another tab meanwhile.

    What was typed is offered for sending anew, where the browser says that the form is of a page of ours. What another
    site sends, or nobody knows who, is not.
    """
    own = request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"
    if request.method != "POST" or not own:
        return csrf_failure(request, reason)
    if not request.user.is_authenticated:
        return sign_in_again(request, kept.keep(request))
    if request.path == reverse("login"):
        return _again(request) or HttpResponseRedirect(reverse("overview"))
    return render(request, "access/again.html", {"sent": kept.sent(request)}, status=403)


def _again(request: HttpRequest) -> HttpResponse | None:
    form = kept.read(request.POST.get("kept", ""))
    return render(request, "access/again.html", {"sent": form}) if form is not None else None


class Logout(views.LogoutView):
    next_page = "login"
