"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.translation import gettext, gettext_lazy, ngettext

from console.access import throttle


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
    form_class = LoginForm
    template_name = "access/login.html"
    redirect_authenticated_user = True

    def form_invalid(self, form: Any) -> HttpResponse:
        answer = super().form_invalid(form)
        answer.status_code = 429 if form.has_error("__all__", "throttled") else 422
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**kwargs, heading=gettext("Sign in"))


class Logout(views.LogoutView):
    next_page = "login"
