<?php

namespace App\Social;

use DomainException;
use Firebase\JWT\JWK;
use Firebase\JWT\JWT;
use Illuminate\Http\Client\PendingRequest;
use Illuminate\Support\Facades\Cache;
use Illuminate\Support\Facades\Http;
use InvalidArgumentException;
use UnexpectedValueException;

class TokenVerifier
{
    /** The user (subject, email, name); null if the provider rejects the token, or if it was issued to another app. */
    public function verify(string $provider, string $token): ?array
    {
        return match ($provider) {
            'kakao' => $this->kakao($token),
            'google' => $this->google($token),
            'apple' => $this->apple($token),
            default => abort(404),
        };
    }

    private function kakao(string $token): ?array
    {
        $info = $this->http($token)->get('https://kapi.kakao.com/v1/user/access_token_info');
        $me = $this->http($token)->get('https://kapi.kakao.com/v2/user/me');
        if (! $info->ok() || ! $me->ok() || ! $this->isOurApp('kakao', $info->json('app_id'))) {
            return null;
        }
        $account = $me->json('kakao_account') ?? [];
        $isVerified = ($account['is_email_valid'] ?? false) === true && ($account['is_email_verified'] ?? false) === true;

        return $this->user($me->json('id'), $isVerified ? $account['email'] ?? null : null, $account['profile']['nickname'] ?? null);
    }

    private function google(string $token): ?array
    {
        $info = $this->http()->get('https://oauth2.googleapis.com/tokeninfo', ['access_token' => $token]);
        $me = $this->http($token)->get('https://openidconnect.googleapis.com/v1/userinfo');
        if (! $info->ok() || ! $me->ok() || ! $this->isOurApp('google', $info->json('aud'))) {
            return null;
        }

        return $this->user($me->json('sub'), $me->json('email_verified') === true ? $me->json('email') : null, $me->json('name'));
    }

    private function apple(string $token): ?array
    {
        $keys = Cache::remember('apple-keys', 3600, fn () => $this->http()->get('https://appleid.apple.com/auth/keys')->throw()->json());
        try {
            $claims = JWT::decode($token, JWK::parseKeySet($keys));
        } catch (DomainException|InvalidArgumentException|UnexpectedValueException) {
            return null;
        }
        $isIssuedByApple = in_array($claims->iss ?? null, ['https://appleid.apple.com', 'https://account.apple.com'], true);
        if (! $isIssuedByApple || ! isset($claims->exp) || ! $this->isOurApp('apple', $claims->aud ?? null)) {
            return null;
        }
        $verified = in_array($claims->email_verified ?? false, [true, 'true'], true);

        return $this->user($claims->sub ?? null, $verified ? $claims->email ?? null : null, null);
    }

    private function http(?string $token = null): PendingRequest
    {
        $request = Http::acceptJson()->connectTimeout(2)->timeout(3);

        return $token === null ? $request : $request->withToken($token);
    }

    private function isOurApp(string $provider, mixed $app): bool
    {
        return is_scalar($app) && in_array((string) $app, config("services.$provider.apps"), true);
    }

    private function user(mixed $subject, ?string $email, ?string $name): ?array
    {
        return is_scalar($subject) && (string) $subject !== '' ? ['subject' => (string) $subject, 'email' => $email, 'name' => $name] : null;
    }
}
