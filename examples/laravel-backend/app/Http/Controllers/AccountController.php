<?php

namespace App\Http\Controllers;

use App\Models\User;
use Illuminate\Http\JsonResponse;
use Illuminate\Http\Request;
use Illuminate\Http\Response;
use Illuminate\Support\Facades\Hash;
use Illuminate\Support\Str;
use Illuminate\Validation\ValidationException;

class AccountController
{
    public function signIn(Request $request): JsonResponse
    {
        ['email' => $email, 'password' => $password] = $request->validate([
            'email' => ['required', 'string', 'email', 'max:254'],
            'password' => ['required', 'string', 'max:1024'],
        ]);
        $user = User::firstWhere('email', Str::lower($email));
        // Hash for an unknown user, too, so that the response time does not reveal accounts.
        $hash = $user?->password;
        $passwordMatches = $hash === null ? Hash::make($password) === '' : Hash::check($password, $hash);
        if (! $passwordMatches) {
            throw ValidationException::withMessages(['email' => __('auth.failed')]);
        }
        abort_unless($user->hasVerifiedEmail(), 403, 'Your email address is not verified.');

        return $user->tokenResponse();
    }

    public function show(Request $request): JsonResponse
    {
        return response()->json(['data' => ['user' => $request->user()->only('id', 'name', 'nick_name', 'email')]]);
    }

    public function update(Request $request): JsonResponse
    {
        $names = $request->validate([
            'name' => ['nullable', 'string', 'max:30'],
            'nick_name' => ['nullable', 'string', 'max:30'],
        ]);
        $request->user()->update($names);

        return $this->show($request);
    }

    public function signOut(Request $request): Response
    {
        $request->user()->currentAccessToken()->delete();

        return response()->noContent();
    }
}
